"""The CUDA kernels, run by the emulation, against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from swin_umamba_ext import reference

from ..problems.arrays import DTYPES, ROUNDING, normal, to_numpy, to_torch
from ..problems.operators import scan_problem, slow_ss2d_problem, ss2d_problem
from ..problems.problem import Problem, assert_same_bits, relative_error
from ..problems.strategies import BATCHES, SEEDS, growing_scans, images, scans

TOLERANCE = {"tolerance": 2e-5, "smallest": 1e-3}
FEW = settings(max_examples=15, deadline=None, database=None)
SIZES = st.integers(1, 70)
SIDES = st.integers(1, 15)
DATA = st.sampled_from(list(ROUNDING))
SCANS = scans(
    groups=st.integers(1, 2),
    channels=st.integers(1, 11),
    length=st.integers(1, 200),
    state=st.sampled_from([1, 4, 15, 16, 17]),
    largest_rate=st.sampled_from([1.0, 10.0]),
    dtype=DATA,
)
IMAGES = images(
    height=SIDES,
    width=SIDES,
    dim=st.integers(1, 19),
    state=st.sampled_from([1, 6, 16, 18]),
    rank=st.sampled_from([1, 2, 6, 8, 9, 20]),  # eight at a time
    dtype=DATA,
)
# One multiprocessor: one block has all four directions. Many: one each, or two.
MULTIPROCESSORS = st.sampled_from([1, 3, 1000])


def check(emulation, problem: Problem, **options: int) -> None:
    problem.check(problem.run_numpy(emulation, **options), **TOLERANCE)


def check_same_bits(emulation, problem: Problem, **options: int) -> None:
    assert_same_bits(*(problem.run_numpy(emulation, **options) for _ in range(2)))


@FEW
@given(BATCHES, st.integers(1, 3), SIZES, SIZES, st.sampled_from(DTYPES), SEEDS)
def test_cross_scan_and_merge(emulation, batch, channels, height, width, dtype, seed):
    x = normal(batch, channels, height, width, dtype=dtype, seed=seed)
    y = normal(batch, 4, channels, height * width, dtype=dtype, seed=seed)
    assert torch.equal(to_torch(emulation.cross_scan(x=to_numpy(x))["y"]), reference.cross_scan(x))
    merged = to_torch(emulation.cross_merge(y=to_numpy(y), height=height, width=width)["x"])
    wanted = reference.cross_merge(y.double(), height, width)
    assert relative_error(merged, wanted, 1e-3) <= 2e-5 + ROUNDING.get(dtype, 0)


@FEW
@given(SCANS)
def test_selective_scan(emulation, problem):
    check(emulation, problem)


@FEW
@given(SCANS)
def test_saved_states_of_selective_scan(emulation, problem):
    states = to_torch(emulation.selective_scan(**problem.arrays())["states"])
    if states.shape[1]:
        steps = 64 * states.shape[1]
        tensors = {n: t if t is None else t.double() for n, t in problem.inputs.items()}
        cut = {n: t[..., :steps] if t is not None and t.dim() > 2 else t for n, t in tensors.items()}
        _, wanted = reference.selective_scan(**cut, **problem.options, return_last_state=True)
        assert relative_error(states[:, -1].mT, wanted, 1e-3) <= 2e-5


def test_a_growing_decay_leaves_a_zero_state_zero(emulation):
    """exp(12) is a number, and its 8th power, the decay over the steps of a warp, is infinite."""
    ones, A = torch.ones(1, 1, 20), torch.full((1, 1), 12.0)
    tensors = {"u": torch.zeros(1, 1, 20), "delta": ones, "A": A, "B": ones[:, None], "C": ones[:, None]}
    tensors["u"][..., 15:] = 1
    out = to_torch(emulation.selective_scan(**{n: to_numpy(t) for n, t in tensors.items()})["out"])
    assert relative_error(out, reference.selective_scan(**{n: t.double() for n, t in tensors.items()})) <= 2e-5


@settings(FEW, max_examples=25)
@given(growing_scans(channels=(1, 9, 17)))
def test_growing_scans_are_finite_where_float64_is(emulation, problem):
    problem.check_where_it_fits(problem.run_numpy(emulation))


@pytest.mark.parametrize("constant", [False, True])
def test_growing_scan_over_segments_and_rounds_of_lanes(emulation, constant):
    """Of the float64 kernels: 300 steps are three segments; 35 channels and 33 states take two rounds of lanes."""
    problem = scan_problem(2, 1, 35, 300, 33, steps=(0, 1), softplus=False, constant_B=constant, constant_C=constant)
    problem.inputs["A"] *= 0.1
    problem.inputs["A"][:, 2] = 60.0  # e^60 a step: infinite over a warp's steps, whose state stays zero
    problem.inputs["B"][(slice(None), 2) if constant else (..., 2, slice(None))] = 0
    problem.check_where_it_fits(problem.run_numpy(emulation))


def test_selective_scan_over_several_parts_of_channels(emulation):
    check(emulation, scan_problem(2, 1, 59, 131, 16))


def test_selective_scan_with_several_groups_of_states_and_parts(emulation):
    check(emulation, scan_problem(1, 1, 53, 70, 20, constant_C=True, with_grad_last_state=False))


def test_selective_scan_of_many_states_fits_into_the_least_shared_memory(emulation):
    """The emulated GPU has 99 KiB for a block, as compute capabilities 8.6, 8.9 and 12.0."""
    check(emulation, scan_problem(1, 1, 3, 200, 81))
    with pytest.raises(RuntimeError, match="the state size or dt rank is too large"):
        emulation.selective_scan(**scan_problem(1, 1, 1, 1, 200).arrays())


@settings(FEW, max_examples=3)
@given(SCANS)
def test_selective_scan_gives_the_same_bits(emulation, problem):
    check_same_bits(emulation, problem)


@FEW
@given(IMAGES, MULTIPROCESSORS)
def test_ss2d(emulation, problem, multiprocessors):
    check(emulation, problem, multiprocessors=multiprocessors)


@FEW
@given(IMAGES, MULTIPROCESSORS)
def test_projections_of_ss2d(emulation, problem, multiprocessors):
    seen = to_torch(emulation.ss2d(**problem.arrays(), multiprocessors=multiprocessors)["projected_x"])
    x, weight = problem.inputs["x"].double().flatten(1, 2), problem.inputs["x_proj_weight"].double()
    rank = problem.inputs["dt_projs_weight"].shape[2]
    dt, matrices = torch.einsum("blc,krc->blkr", x, weight).split([rank, weight.shape[1] - rank], dim=-1)
    wanted = torch.cat([F.pad(dt, (0, -rank % 4)), matrices], dim=-1)  # rows of 16 bytes
    assert seen.shape == wanted.shape
    assert relative_error(seen, wanted, 1e-3) <= 2e-5


def test_ss2d_with_slow_decays(emulation):
    check(emulation, slow_ss2d_problem(80, 80, 8))


@pytest.mark.parametrize("multiprocessors", [1, 2, 1000])
def test_ss2d_shares_out_the_directions(emulation, multiprocessors):
    check(emulation, ss2d_problem(2, 9, 15, 17, 16, 6), multiprocessors=multiprocessors)


@pytest.mark.parametrize("multiprocessors", [1, 1000])
def test_ss2d_over_several_parts_of_channels(emulation, multiprocessors):
    check(emulation, ss2d_problem(1, 7, 11, 101, 16, 6), multiprocessors=multiprocessors)


def test_ss2d_backward_refuses_numbers_that_are_not_aligned(emulation):
    problem = ss2d_problem(1, 3, 5, 8, 16, 3)
    saved = emulation.ss2d(**problem.arrays(), multiprocessors=1)
    del saved["y"]
    numbers = saved["projected_x"]
    moved = np.empty(numbers.size + 1, np.float32)[1:].reshape(numbers.shape)
    moved[:] = numbers
    gradients = problem.grad_arrays()
    emulation.ss2d_backward(**saved, **gradients, **problem.arrays(), multiprocessors=1)
    with pytest.raises(RuntimeError, match="16 bytes"):
        emulation.ss2d_backward(**saved | {"projected_x": moved}, **gradients, **problem.arrays(), multiprocessors=1)


@settings(FEW, max_examples=3)
@given(IMAGES)
def test_ss2d_gives_the_same_bits(emulation, problem):
    check_same_bits(emulation, problem, multiprocessors=3)


def test_float64_is_left_to_the_cpu(emulation):
    with pytest.raises(RuntimeError, match="float64"):
        emulation.selective_scan(**scan_problem(1, 1, 1, 1, 1, dtype=torch.float64).arrays())
