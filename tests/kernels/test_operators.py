"""The kernels of every instruction set, called without torch, against the definition in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swin_umamba_ext import reference

from ..problems.arrays import normal, to_numpy, to_torch
from ..problems.depthwise_conv_silu import conv_problem, convolved_images
from ..problems.gated_layer_norm import gated_layer_norm_problem, gated_rows
from ..problems.operators import scan_problem, ss2d_problem
from ..problems.problem import Problem, assert_same_bits
from ..problems.strategies import (
    ANY_DTYPE,
    BATCHES,
    CHANNELS,
    LENGTHS,
    SEEDS,
    SIZES,
    STATES,
    growing_scans,
    images,
    scans,
)
from .conftest import Kernels

THREADS = st.integers(2, 9)


def check(kernel_sets: list[Kernels], problem: Problem, threads: int | None = None) -> None:
    """The results of every set, and that any number of threads gives the same bits."""
    for kernels in kernel_sets:
        seen = problem.run_numpy(kernels, threads=1)
        problem.check(seen, kernels.name)
        if threads:
            assert_same_bits(problem.run_numpy(kernels, threads=threads), seen, f"{kernels.name}, {threads} threads")


@given(BATCHES, st.integers(1, 3), SIZES, SIZES, ANY_DTYPE, THREADS, SEEDS)
def test_cross_scan_and_merge(kernel_sets, batch, channels, height, width, dtype, threads, seed):
    x = normal(batch, channels, height, width, dtype=dtype, seed=seed)
    y = normal(batch, 4, channels, height * width, dtype=dtype, seed=seed)
    for kernels in kernel_sets:
        for count in (1, threads):
            scanned = to_torch(kernels.cross_scan(x=to_numpy(x), threads=count)["y"])
            assert torch.equal(scanned, reference.cross_scan(x)), kernels.name
            merged = to_torch(kernels.cross_merge(y=to_numpy(y), height=height, width=width, threads=count)["x"])
            assert torch.equal(merged, reference.cross_merge(y, height, width)), kernels.name


@given(problem=convolved_images(), threads=THREADS)
def test_depthwise_conv_silu(kernel_sets, problem, threads):
    check(kernel_sets, problem, threads)


@given(problem=gated_rows(), threads=THREADS)
def test_gated_layer_norm(kernel_sets, problem, threads):
    check(kernel_sets, problem, threads)


@pytest.mark.parametrize("magnitude", [100.0, 1e30, 3e38])
def test_silu_far_from_zero(kernel_sets, magnitude):
    """The exponential is less than any float32, and so are its products with whatever it is multiplied by."""
    far = torch.tensor([-magnitude, magnitude])
    convolved, gated = conv_problem(1, 2, 3, 2), gated_layer_norm_problem(6, 2)
    middle = torch.zeros(2, 1, 3, 3)
    middle[..., 1, 1] = 1
    convolved.inputs.update(x=far.repeat(1, 2, 3, 1), weight=middle, bias=torch.zeros(2))
    gated.inputs.update(z=far.repeat(6, 1))
    for kernels in kernel_sets:
        seen = convolved.run_numpy(kernels, threads=1)
        assert torch.equal(seen["out"], convolved.inputs["x"].clamp(min=0)), kernels.name
        assert not seen["grad x"][..., 0].any(), kernels.name
        assert not gated.run_numpy(kernels, threads=1)["out"][..., 0].any(), kernels.name


@given(problem=scans(), threads=THREADS)
def test_selective_scan(kernel_sets, problem, threads):
    check(kernel_sets, problem, threads)


@given(
    largest_step=st.sampled_from([1e-8, 1e-3, 1.0, 50.0]),
    largest_rate=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
    length=LENGTHS,
    softplus=st.booleans(),
    seed=SEEDS,
)
def test_extreme_steps_and_rates(kernel_sets, largest_step, largest_rate, length, softplus, seed):
    options = {"with_bias": False, "softplus": softplus, "seed": seed}
    check(kernel_sets, scan_problem(1, 1, 18, length, 5, steps=(0, largest_step), largest_rate=largest_rate, **options))


@given(length=LENGTHS, channels=CHANNELS, states=STATES, softplus=st.booleans(), seed=SEEDS)
def test_decays_above_one(kernel_sets, length, channels, states, softplus, seed):
    """Some rates, and without softplus some steps, of either sign."""
    problem = scan_problem(
        1, 1, channels, length, states, steps=(0, 0.1), largest_rate=0.3, softplus=softplus, seed=seed
    )
    generator = torch.Generator().manual_seed(seed)
    for name in ("A", "delta"):
        problem.inputs[name] *= torch.randint(0, 2, problem.inputs[name].shape, generator=generator) * 2 - 1
    check(kernel_sets, problem)


def rates_around_the_cut(shape: torch.Size, step: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rates whose product with a step of ``step`` is from 0 to 80 or, where the second tensor says so, from 250 on."""
    generator = torch.Generator().manual_seed(seed)
    cut = torch.rand(shape, generator=generator) < 0.5
    return torch.where(cut, 250.0, 80.0) * torch.rand(shape, generator=generator).add(cut) / step, cut


LARGE_STEPS = st.sampled_from([100.0, 1e9, 1e18])


@given(step=LARGE_STEPS, length=LENGTHS, channels=CHANNELS, states=STATES, softplus=st.booleans(), seed=SEEDS)
def test_decays_beyond_the_cut_are_zero(kernel_sets, step, length, channels, states, softplus, seed):
    """They leave nothing in the gradient of A, however large the steps that it is multiplied by."""
    options = {"with_bias": False, "softplus": softplus, "seed": seed}
    problem = scan_problem(1, 1, channels, length, states, steps=(0.9 * step, step), **options)
    rates, cut = rates_around_the_cut(problem.inputs["A"].shape, step, seed)
    problem.inputs["A"] = -rates
    problem.inputs["u"] *= 1e-6
    for kernels in kernel_sets:
        seen = problem.run_numpy(kernels)
        problem.check(seen, kernels.name, tolerance=1e-3)
        assert (seen["grad A"][cut] == 0).all(), kernels.name


@given(step=LARGE_STEPS, height=SIZES, dim=CHANNELS, states=STATES, seed=SEEDS)
def test_decays_beyond_the_cut_are_zero_in_ss2d(kernel_sets, step, height, dim, states, seed):
    problem = ss2d_problem(1, height, 9, dim, states, 2, seed=seed)
    rates, cut = rates_around_the_cut(problem.inputs["A_logs"].shape, step, seed)
    problem.inputs |= {"A_logs": rates.log(), "dt_projs_bias": torch.full((4, dim), step)}
    problem.inputs["x"] *= 1e-6
    for kernels in kernel_sets:
        assert (problem.run_numpy(kernels)["grad A_logs"][cut] == 0).all(), kernels.name


@given(problem=growing_scans(), threads=THREADS)
def test_growing_scans_are_finite_where_float64_is(kernel_sets, problem, threads):
    for kernels in kernel_sets:
        seen = problem.run_numpy(kernels, threads=1)
        problem.check_where_it_fits(seen, kernels.name)
        assert_same_bits(problem.run_numpy(kernels, threads=threads), seen, kernels.name)
        alone = kernels.selective_scan(**problem.arrays(), save_states=False)
        assert_same_bits(
            {n: to_torch(alone[n]) for n in ("out", "last_state")}, {n: seen[n] for n in ("out", "last_state")}
        )


@pytest.mark.parametrize("rate", [1e5, 1e7, 1e16, 1e30])
def test_one_huge_rate_leaves_the_others_alone(kernel_sets, rate):
    problem = scan_problem(1, 1, 18, 70, 5, steps=(0, 2))
    problem.inputs["A"][:, 1] = -rate
    check(kernel_sets, problem)


@given(problem=images(), threads=THREADS)
def test_ss2d(kernel_sets, problem, threads):
    check(kernel_sets, problem, threads)


def test_strided_arrays(kernel_sets):
    problem = ss2d_problem(1, 5, 6, 20, 3, 2)
    wanted = [problem.run_numpy(kernels) for kernels in kernel_sets]
    for tensors in (problem.inputs, problem.grads):
        tensors.update({n: torch.stack([t, t], dim=-1)[..., 0] for n, t in tensors.items()})
    for kernels, results in zip(kernel_sets, wanted, strict=True):
        assert_same_bits(problem.run_numpy(kernels), results, kernels.name)


@pytest.mark.parametrize("name", ["x", "x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds"])
def test_nan_is_not_hidden_by_ss2d(kernel_sets, name):
    problem = ss2d_problem(1, 9, 9, 20, 16, 2)
    problem.inputs[name].view(-1)[0] = float("nan")
    for kernels in kernel_sets:
        assert problem.run_numpy(kernels)["y"].isnan().any(), kernels.name


@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "z", "delta_bias"])
@pytest.mark.parametrize("softplus", [False, True])
def test_nan_is_not_hidden_by_selective_scan(kernel_sets, name, softplus):
    problem = scan_problem(1, 1, 20, 70, 17, softplus=softplus)
    problem.inputs[name].view(-1)[0] = float("nan")
    for kernels in kernel_sets:
        assert problem.run_numpy(kernels)["out"].isnan().any(), kernels.name


def test_nan_in_one_rate_leaves_other_channels_alone(kernel_sets):
    problem = scan_problem(1, 1, 20, 70, 5)
    problem.inputs["A"][1] = 0.3
    wanted = [problem.run_numpy(kernels)["out"] for kernels in kernel_sets]
    problem.inputs["A"][0, -1] = torch.nan
    for kernels, out in zip(kernel_sets, wanted, strict=True):
        spoiled = problem.run_numpy(kernels)["out"]
        assert spoiled[:, 0].isnan().all()
        assert torch.equal(spoiled[:, 1:], out[:, 1:]), kernels.name
