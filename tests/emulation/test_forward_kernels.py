"""The forward kernels, run by the emulation, against the definition in float64."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swin_umamba_ext import reference

from .problems import DTYPES, ImageProblem, ScanProblem, assert_close, to_numpy

sizes = st.integers(1, 70)
seeds = st.integers(0, 2**31)
dtypes = st.sampled_from(sorted(DTYPES))
few = settings(max_examples=15, deadline=None, database=None)


@few
@given(st.integers(1, 2), st.integers(1, 3), sizes, sizes, st.sampled_from(["float64", *DTYPES]), seeds)
def test_cross_scan_and_merge(emulation, batch, channels, height, width, dtype, seed):
    data = torch.float64 if dtype == "float64" else DTYPES[dtype]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, height, width, generator=generator).to(data)
    scanned = emulation.cross_scan(x=to_numpy(x))["y"]
    np.testing.assert_array_equal(scanned, to_numpy(reference.cross_scan(x)))

    y = torch.randn(batch, 4, channels, height * width, generator=generator).to(data)
    merged = emulation.cross_merge(y=to_numpy(y), height=height, width=width)["x"]
    wanted = reference.cross_merge(y.double(), height, width)
    assert_close("cross_merge", merged, wanted, "float32" if dtype == "float64" else dtype)


scans = st.builds(
    ScanProblem,
    batch=st.integers(1, 2),
    groups=st.integers(1, 2),
    channels_per_group=st.integers(1, 11),
    length=st.integers(1, 200),
    state=st.sampled_from([1, 4, 15, 16, 17]),
    constant_B=st.booleans(),
    constant_C=st.booleans(),
    with_D=st.booleans(),
    with_z=st.booleans(),
    with_bias=st.booleans(),
    softplus=st.booleans(),
    dtype=dtypes,
    seed=seeds,
)


@few
@given(scans)
def test_selective_scan(emulation, problem):
    results = emulation.selective_scan(**problem.arrays())
    states = results["states"]
    wanted, wanted_last, _ = problem.forward()
    assert_close("out", results["out"], wanted.detach(), problem.dtype)
    assert_close("last_state", results["last_state"], wanted_last.detach())
    if states.shape[1]:
        cut = ScanProblem(**{n: getattr(problem, n) for n in problem.__dataclass_fields__ if n != "tensors"})
        steps = 64 * states.shape[1]
        for name in ("u", "delta", "z", "B", "C"):
            tensor = cut.tensors[name]
            if tensor is not None and tensor.dim() > 2:
                cut.tensors[name] = tensor[..., :steps].contiguous()
        assert_close("states", states[:, -1].swapaxes(1, 2).copy(), cut.forward()[1].detach())


def test_a_growing_decay_leaves_a_zero_state_zero(emulation):
    """exp(12) is a number, and its 8th power, the decay over the steps of a warp, is infinite."""
    ones, A = torch.ones(1, 1, 20), torch.full((1, 1), 12.0)
    tensors = {"u": torch.zeros(1, 1, 20), "delta": ones, "A": A, "B": ones[:, None], "C": ones[:, None]}
    tensors["u"][..., 15:] = 1
    out = emulation.selective_scan(**{n: to_numpy(t) for n, t in tensors.items()})["out"]
    assert_close("out", out, reference.selective_scan(**{n: t.double() for n, t in tensors.items()}), "float32")


images = st.builds(
    ImageProblem,
    batch=st.integers(1, 2),
    height=st.integers(1, 15),
    width=st.integers(1, 15),
    dim=st.integers(1, 19),
    state=st.sampled_from([1, 6, 16, 18]),
    rank=st.sampled_from([1, 2, 6, 8]),
    dtype=dtypes,
    seed=seeds,
)


# One multiprocessor: one block has all four directions. Many: one each, or two.
@few
@given(images, st.sampled_from([1, 3, 1000]))
def test_ss2d(emulation: ModuleType, problem: ImageProblem, multiprocessors: int):
    results = emulation.ss2d(**problem.arrays(), multiprocessors=multiprocessors)
    assert_close("y", results["y"], problem.forward()[0].detach())
    assert_close("projected_x", results["projected_x"], problem.project())


@pytest.mark.parametrize("multiprocessors", [1, 2, 1000])
def test_ss2d_shares_out_the_directions(emulation, multiprocessors):
    problem = ImageProblem(batch=2, height=9, width=15, dim=17, state=16, rank=6)
    y = emulation.ss2d(**problem.arrays(), multiprocessors=multiprocessors)["y"]
    assert_close("y", y, problem.forward()[0].detach())


def test_float64_is_left_to_the_cpu(emulation):
    problem = ScanProblem(batch=1, groups=1, channels_per_group=1, length=1, state=1)
    arrays = {n: a.astype(np.float64) if isinstance(a, np.ndarray) else a for n, a in problem.arrays().items()}
    with pytest.raises(RuntimeError, match="float64"):
        emulation.selective_scan(**arrays)
