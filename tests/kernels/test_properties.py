"""The kernels of every instruction set, called without torch, against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swin_umamba_ext import reference

from .cases import (
    DTYPES,
    check,
    differentiate,
    image_inputs,
    reference_scan,
    reference_ss2d,
    run_scan,
    run_ss2d,
    scan_inputs,
    to_numpy,
    to_torch,
)

SIZES = st.one_of(st.integers(1, 6), st.sampled_from([8, 13, 16, 17, 33]))
LENGTHS = st.one_of(st.integers(1, 5), st.sampled_from([63, 64, 65, 129, 150]))
CHANNELS = st.sampled_from([1, 3, 8, 16, 17, 47, 48, 49, 100])
STATES = st.sampled_from([1, 3, 4, 5, 16, 17])
THREADS = st.integers(2, 9)
SEEDS = st.integers(0, 2**31)
DTYPE_NAMES = st.sampled_from(sorted(DTYPES))


def assert_same_bits(seen: dict[str, np.ndarray], wanted: dict[str, np.ndarray], label: str) -> None:
    for name, array in seen.items():
        assert array.tobytes() == wanted[name].tobytes(), f"{label}: {name} depends on the number of threads"


@given(st.integers(1, 2), st.integers(1, 3), SIZES, SIZES, DTYPE_NAMES, THREADS, SEEDS)
def test_cross_scan_and_merge(kernel_sets, batch, channels, height, width, dtype, threads, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, height, width, generator=generator).to(DTYPES[dtype])
    y = torch.randn(batch, 4, channels, height * width, generator=generator).to(DTYPES[dtype])
    for kernels in kernel_sets:
        for count in (1, threads):
            scanned = to_torch(kernels.cross_scan(x=to_numpy(x), threads=count)["y"])
            assert torch.equal(scanned, reference.cross_scan(x)), kernels.name
            merged = to_torch(kernels.cross_merge(y=to_numpy(y), height=height, width=width, threads=count)["x"])
            assert torch.equal(merged, reference.cross_merge(y, height, width)), kernels.name


@given(
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 3), CHANNELS, LENGTHS, STATES),
    options=st.fixed_dictionaries(
        {
            name: st.booleans()
            for name in ("constant_B", "constant_C", "with_D", "with_z", "with_bias", "with_grad_last_state")
        }
    ),
    softplus=st.booleans(),
    dtype=DTYPE_NAMES,
    threads=THREADS,
    seed=SEEDS,
)
def test_selective_scan(kernel_sets, sizes, options, softplus, dtype, threads, seed):
    if options["constant_B"] and options["constant_C"]:
        sizes = (sizes[0], 1, *sizes[2:])
    inputs = scan_inputs(*sizes, dtype=DTYPES[dtype], seed=seed, **options)
    wanted = differentiate(reference_scan(softplus), inputs, torch.float64)
    for kernels in kernel_sets:
        seen = run_scan(kernels, inputs, softplus, threads=1)
        check(seen, reference_scan(softplus), inputs, wanted, sizes[3], kernels.name)
        assert_same_bits(run_scan(kernels, inputs, softplus, threads), seen, kernels.name)


@given(
    largest_delta=st.sampled_from([1e-8, 1e-3, 1.0, 50.0]),
    largest_rate=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
    length=LENGTHS,
    softplus=st.booleans(),
    seed=SEEDS,
)
def test_extreme_steps_and_rates(kernel_sets, largest_delta, largest_rate, length, softplus, seed):
    inputs = scan_inputs(
        1, 1, 18, length, 5, with_bias=False, largest_delta=largest_delta, largest_rate=largest_rate, seed=seed
    )
    wanted = differentiate(reference_scan(softplus), inputs, torch.float64)
    for kernels in kernel_sets:
        seen = run_scan(kernels, inputs, softplus, threads=1)
        check(seen, reference_scan(softplus), inputs, wanted, length, kernels.name)


@given(length=LENGTHS, channels=CHANNELS, states=STATES, softplus=st.booleans(), seed=SEEDS)
def test_decays_above_one(kernel_sets, length, channels, states, softplus, seed):
    """Some rates, and without softplus some steps, of either sign."""
    inputs = scan_inputs(1, 1, channels, length, states, largest_delta=0.1, largest_rate=0.3, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name in ("A", "delta"):
        inputs[name] *= torch.randint(0, 2, inputs[name].shape, generator=generator) * 2 - 1
    wanted = differentiate(reference_scan(softplus), inputs, torch.float64)
    for kernels in kernel_sets:
        seen = run_scan(kernels, inputs, softplus, threads=1)
        check(seen, reference_scan(softplus), inputs, wanted, length, kernels.name)


@pytest.mark.parametrize("rate", [1e5, 1e7, 1e16, 1e30])
def test_one_huge_rate_leaves_the_others_alone(kernel_sets, rate):
    inputs = scan_inputs(1, 1, 18, 70, 5, largest_delta=2.0)
    inputs["A"][:, 1] = -rate
    wanted = differentiate(reference_scan(True), inputs, torch.float64)
    for kernels in kernel_sets:
        check(run_scan(kernels, inputs, True, threads=1), reference_scan(True), inputs, wanted, 70, kernels.name)


@given(
    batch=st.integers(1, 2),
    height=SIZES,
    width=SIZES,
    dim=CHANNELS,
    state=STATES,
    rank=st.sampled_from([1, 2, 7]),
    dtype=DTYPE_NAMES,
    threads=THREADS,
    seed=SEEDS,
)
def test_ss2d(kernel_sets, batch, height, width, dim, state, rank, dtype, threads, seed):
    if height * width > 200:
        height = 1
    inputs = image_inputs(batch, height, width, dim, state, rank, DTYPES[dtype], seed)
    wanted = differentiate(reference_ss2d, inputs, torch.float64)
    for kernels in kernel_sets:
        seen = run_ss2d(kernels, inputs, threads=1)
        check(seen, reference_ss2d, inputs, wanted, height * width, kernels.name)
        assert_same_bits(run_ss2d(kernels, inputs, threads), seen, kernels.name)


def test_strided_arrays(kernel_sets):
    inputs = image_inputs(1, 5, 6, 20, 3, 2)
    strided = {n: torch.stack([t, t], dim=-1)[..., 0] for n, t in inputs.items()}
    for kernels in kernel_sets:
        assert_same_bits(run_ss2d(kernels, strided, 1), run_ss2d(kernels, inputs, 1), kernels.name)


@pytest.mark.parametrize("name", ["x", "x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds"])
def test_nan_is_not_hidden_by_ss2d(kernel_sets, name):
    inputs = image_inputs(1, 9, 9, 20, 16, 2)
    inputs[name].view(-1)[0] = float("nan")
    for kernels in kernel_sets:
        assert np.isnan(run_ss2d(kernels, inputs, threads=1)["y"]).any(), kernels.name


@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "z", "delta_bias"])
@pytest.mark.parametrize("softplus", [False, True])
def test_nan_is_not_hidden_by_selective_scan(kernel_sets, name, softplus):
    inputs = scan_inputs(1, 1, 20, 70, 17)
    inputs[name].view(-1)[0] = float("nan")
    for kernels in kernel_sets:
        assert np.isnan(run_scan(kernels, inputs, softplus, threads=1)["out"]).any(), kernels.name


def test_nan_in_one_rate_leaves_other_channels_alone(kernel_sets):
    inputs = scan_inputs(1, 1, 20, 70, 5)
    inputs["A"][1] = 0.3
    for kernels in kernel_sets:
        wanted = run_scan(kernels, inputs, True, threads=1)["out"]
        spoiled = run_scan(
            kernels,
            inputs | {"A": inputs["A"].index_put((torch.tensor(0), torch.tensor(-1)), torch.tensor(torch.nan))},
            True,
            threads=1,
        )["out"]
        assert np.isnan(spoiled[:, 0]).all()
        np.testing.assert_array_equal(spoiled[:, 1:], wanted[:, 1:], kernels.name)
