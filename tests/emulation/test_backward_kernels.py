"""The backward kernels, run by the emulation, against autograd of the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from .problems import ImageProblem, ScanProblem, assert_close, to_numpy
from .test_forward_kernels import few, images, scans


def scan_gradients(emulation, problem: ScanProblem, with_last_state: bool) -> dict[str, np.ndarray]:
    arrays = problem.arrays()
    return emulation.selective_scan_backward(
        states=emulation.selective_scan(**arrays)["states"],
        grad_out=to_numpy(problem.grad_out),
        grad_last_state=to_numpy(problem.grad_last_state) if with_last_state else None,
        **arrays,
    )


def assert_scan_gradients(emulation, problem: ScanProblem, with_last_state: bool) -> None:
    got = scan_gradients(emulation, problem, with_last_state)
    wanted = problem.gradients(with_last_state)
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        dtype = "float32" if problem.tensors[name].dtype == torch.float32 else problem.dtype
        assert_close(f"gradient of {name}", got[name], gradient, dtype)


@few
@given(scans, st.booleans())
def test_selective_scan(emulation, problem, with_last_state):
    assert_scan_gradients(emulation, problem, with_last_state)


def test_selective_scan_over_several_parts_of_channels(emulation):
    problem = ScanProblem(batch=2, groups=1, channels_per_group=59, length=131, state=16)
    assert_scan_gradients(emulation, problem, with_last_state=True)


def test_selective_scan_with_several_groups_of_states_and_parts(emulation):
    problem = ScanProblem(batch=1, groups=1, channels_per_group=53, length=70, state=20, constant_C=True)
    assert_scan_gradients(emulation, problem, with_last_state=False)


@settings(few, max_examples=3)
@given(scans)
def test_selective_scan_gives_the_same_bits(emulation, problem):
    first, second = (scan_gradients(emulation, problem, True) for _ in range(2))
    for name, gradient in first.items():
        np.testing.assert_array_equal(gradient, second[name], err_msg=name)


def image_gradients(emulation, problem: ImageProblem, multiprocessors: int) -> dict[str, np.ndarray]:
    arrays = problem.arrays()
    saved = emulation.ss2d(**arrays, multiprocessors=multiprocessors)
    del saved["y"]
    grad_y = to_numpy(problem.grad_out)
    return emulation.ss2d_backward(grad_y=grad_y, **saved, **arrays, multiprocessors=multiprocessors)


def assert_image_gradients(emulation, problem: ImageProblem, multiprocessors: int) -> None:
    got = image_gradients(emulation, problem, multiprocessors)
    wanted = problem.gradients()
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert_close(f"gradient of {name}", got[name], gradient, problem.dtype if name == "x" else "float32")


@few
@given(images, st.sampled_from([1, 3, 1000]))
def test_ss2d(emulation, problem, multiprocessors):
    assert_image_gradients(emulation, problem, multiprocessors)


@pytest.mark.parametrize("multiprocessors", [1, 1000])
def test_ss2d_over_several_parts_of_channels(emulation, multiprocessors):
    problem = ImageProblem(batch=1, height=7, width=11, dim=101, state=16, rank=6)
    assert_image_gradients(emulation, problem, multiprocessors)


@settings(few, max_examples=3)
@given(images)
def test_ss2d_gives_the_same_bits(emulation, problem):
    first, second = (image_gradients(emulation, problem, 3) for _ in range(2))
    for name, gradient in first.items():
        np.testing.assert_array_equal(gradient, second[name], err_msg=name)
