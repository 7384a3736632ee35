"""Instance normalisation by every instruction set, called without torch, against the definition in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ..problems.instance_norm import InstanceNormProblem, instance_norm_problem, norms
from ..problems.problem import assert_same_bits, relative_error
from .conftest import Kernels

THREADS = st.integers(2, 9)
LAYOUTS = pytest.mark.parametrize("channels_last", [False, True], ids=["planes", "channels_last"])


def check(kernel_sets: list[Kernels], problem: InstanceNormProblem, threads: int) -> None:
    for kernels in kernel_sets:
        seen = problem.run_numpy(kernels, threads=1)
        problem.check(seen, kernels.name)
        assert_same_bits(problem.run_numpy(kernels, threads=threads), seen, f"{kernels.name}, {threads} threads")


@given(problem=norms(), threads=THREADS)
def test_instance_norm(kernel_sets, problem, threads):
    check(kernel_sets, problem, threads)


@given(
    problem=norms(
        offset=st.sampled_from([1e3, 1e4]), dtype=st.sampled_from([torch.float32, torch.float64]), height=st.just(70)
    ),
    threads=THREADS,
)
def test_mean_far_larger_than_the_deviation(kernel_sets, problem, threads):
    """Nothing is lost to the mean: the bound is that of planes without one."""
    for kernels in kernel_sets:
        problem.check(problem.run_numpy(kernels, threads=threads), kernels.name, tolerance=2e-6 * problem.length**0.5)


@LAYOUTS
@pytest.mark.parametrize("place", [0, 1, 63, 64, 2000])
def test_one_pixel_far_from_the_others(kernel_sets, channels_last, place):
    problem = instance_norm_problem(1, 18, 60, 50, channels_last=channels_last)
    problem.inputs["x"][0, :, place // 50, place % 50] = 1e5
    for kernels in kernel_sets:
        problem.check(problem.run_numpy(kernels), kernels.name, tolerance=2e-4)


@LAYOUTS
@pytest.mark.parametrize("with_residual", [False, True])
def test_large_images_in_many_parts(kernel_sets, channels_last, with_residual):
    options = {"channels_last": channels_last, "with_residual": with_residual, "negative_slope": 0.01}
    for dtype in (torch.float32, torch.bfloat16):
        check(kernel_sets, instance_norm_problem(2, 50, 61, 67, dtype=dtype, **options), 3)


@LAYOUTS
def test_constant_plane_becomes_its_bias(kernel_sets, channels_last):
    problem = instance_norm_problem(2, 19, 9, 11, channels_last=channels_last)
    problem.inputs["x"].fill_(3.7)
    for kernels in kernel_sets:
        seen = problem.run_numpy(kernels)
        assert relative_error(seen["y"], problem.inputs["bias"][:, None, None].expand_as(seen["y"])) < 1e-6
        assert seen["grad x"].isfinite().all()


@LAYOUTS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_not_hidden_and_stays_in_its_plane(kernel_sets, channels_last, value):
    problem = instance_norm_problem(2, 19, 9, 11, channels_last=channels_last, negative_slope=0.0)
    wanted = [problem.run_numpy(kernels) for kernels in kernel_sets]
    problem.inputs["x"][1, 3, 8, 10] = value
    for kernels, clean in zip(kernel_sets, wanted, strict=True):
        seen = problem.run_numpy(kernels)
        assert seen["y"][1, 3].isnan().all(), kernels.name
        others = torch.ones_like(seen["y"], dtype=torch.bool)
        others[1, 3] = False
        for name in ("y", "grad x"):
            assert torch.equal(seen[name][others], clean[name][others]), kernels.name


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("x", lambda a: a[0], "x must have 4 dimensions"),
        ("weight", lambda a: a[1:], r"weight must have shape \(5,\), got \(4,\)"),
        ("bias", lambda a: a.astype("float64"), "bias must be float32, got float64"),
        ("mean", lambda a: a.astype("float32"), "mean must be float64, got float32"),
        ("rstd", lambda a: a[:1], r"rstd must have shape \(2, 5\), got \(1, 5\)"),
        ("y", lambda a: a[:, 1:], r"y must have shape \(2, 5, 3, 4\), got \(2, 4, 3, 4\)"),
        ("grad_y", lambda a: a[..., 1:], "grad_y must have shape"),
    ],
)
def test_wrong_arguments(kernel_sets, name, change, message):
    problem = instance_norm_problem(2, 5, 3, 4)
    inputs = {n: a for n, a in problem.arrays().items() if n != "residual"}
    arrays = inputs | kernel_sets[0].instance_norm(**inputs) | problem.grad_arrays()
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match=message):
        kernel_sets[0].instance_norm_backward(**arrays)
