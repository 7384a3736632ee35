"""Cross-scan and cross-merge."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import swin_umamba_ext
from swin_umamba_ext import reference

from ..problems.strategies import ANY_DTYPE, SIZES


@given(st.integers(1, 3), st.integers(1, 3), SIZES, SIZES, ANY_DTYPE)
def test_scan_equals_reference(batch: int, channels: int, height: int, width: int, dtype: torch.dtype) -> None:
    x = torch.randn(batch, channels, height, width).to(dtype)
    assert torch.equal(swin_umamba_ext.cross_scan(x), reference.cross_scan(x))


@given(st.integers(1, 3), st.integers(1, 3), SIZES, SIZES, ANY_DTYPE)
def test_merge_equals_reference(batch: int, channels: int, height: int, width: int, dtype: torch.dtype) -> None:
    y = torch.randn(batch, 4, channels, height * width).to(dtype)
    assert torch.equal(swin_umamba_ext.cross_merge(y, height, width), reference.cross_merge(y, height, width))


@given(st.integers(1, 2), st.integers(1, 3), SIZES, SIZES)
def test_merge_is_the_adjoint_of_scan(batch: int, channels: int, height: int, width: int) -> None:
    x = torch.randn(batch, channels, height, width, dtype=torch.float64)
    y = torch.randn(batch, 4, channels, height * width, dtype=torch.float64)
    left = (swin_umamba_ext.cross_scan(x) * y).sum()
    right = (x * swin_umamba_ext.cross_merge(y, height, width)).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 2), st.integers(1, 3), SIZES, SIZES, ANY_DTYPE)
def test_merge_of_scan_is_four_times(batch: int, channels: int, height: int, width: int, dtype: torch.dtype) -> None:
    x = torch.randn(batch, channels, height, width).to(dtype)
    assert torch.equal(swin_umamba_ext.cross_merge(swin_umamba_ext.cross_scan(x), height, width), 4 * x)


def test_first_two_directions_and_their_reverses() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    walks = swin_umamba_ext.cross_scan(x)[0, :, 0].tolist()
    assert walks == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]


def test_non_contiguous_input() -> None:
    x = torch.randn(2, 5, 7, 3).permute(0, 3, 2, 1)[:, :, ::2]
    assert torch.equal(swin_umamba_ext.cross_scan(x), reference.cross_scan(x))
    y = torch.randn(2, 12, 3, 4).transpose(1, 3)
    assert torch.equal(swin_umamba_ext.cross_merge(y, 3, 4), reference.cross_merge(y, 3, 4))


@pytest.mark.parametrize("size", [(1, 3), (2, 1), (2, 3)])
def test_gradients(size: tuple[int, int]) -> None:
    height, width = size
    x = torch.randn(1, 2, height, width, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 4, 2, height * width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(swin_umamba_ext.cross_scan, x)
    assert torch.autograd.gradcheck(lambda t: swin_umamba_ext.cross_merge(t, height, width), y)
    assert torch.autograd.gradgradcheck(swin_umamba_ext.cross_scan, x)


def test_opcheck() -> None:
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    torch.library.opcheck(torch.ops.swin_umamba.cross_scan.default, (x,))
    y = torch.randn(2, 4, 3, 20, requires_grad=True)
    torch.library.opcheck(torch.ops.swin_umamba.cross_merge.default, (y, 4, 5))
