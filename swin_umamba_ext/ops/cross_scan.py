"""Cross-scan and cross-merge; each is the other's adjoint, hence its backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import checks, plain
from .common import differentiable, forbid_forward_mode
from .devices import lacks_kernels


def cross_scan(x: Tensor) -> Tensor:
    """Unroll an image along four scan orders (paper Eq. 1, *scan expand*; VMamba, arXiv:2401.10166).

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
        float32, bfloat16, float16 or float64; any strides.

    Returns
    -------
    Tensor of shape (B, 4, C, H*W), dtype of x
        Directions: row-major, column-major, reversed row-major, reversed column-major.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape.
    NotImplementedError
        For forward-mode derivatives.
    """
    checks.check_cross_scan(x)
    forbid_forward_mode("cross_scan", x)
    if lacks_kernels(x.device):
        return plain.cross_scan(x)
    return _scan(x.contiguous())


def cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    """Put four scanned sequences back in place and add them (paper Eq. 3, *scan merge*).

    The adjoint of `cross_scan`; ``cross_merge(cross_scan(x), H, W)`` is ``4 * x``. Half types are
    added in float32 and rounded once.

    Parameters
    ----------
    y : Tensor of shape (B, 4, C, height*width)
        float32, bfloat16, float16 or float64; any strides.
    height, width : int
        Size of the image in pixels.

    Returns
    -------
    Tensor of shape (B, C, height, width), dtype of y
        The sum of the four sequences, pixel by pixel.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape.
    NotImplementedError
        For forward-mode derivatives.
    """
    checks.check_cross_merge(y, height, width)
    forbid_forward_mode("cross_merge", y)
    if lacks_kernels(y.device):
        return plain.cross_merge(y, height, width)
    return _merge(y.contiguous(), height, width)


@torch.library.register_fake("swin_umamba::cross_scan")
def _(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    return x.new_empty(batch, checks.N_DIRECTIONS, channels, height * width)


@torch.library.register_fake("swin_umamba::cross_merge")
def _(y: Tensor, height: int, width: int) -> Tensor:
    return y.new_empty(y.shape[0], y.shape[2], height, width)


def _scan_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.size = inputs[0].shape[2:]


def _scan_backward(ctx: Any, grad: Tensor) -> Tensor:
    return _merge(grad.contiguous(), *ctx.size)


def _merge_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return _scan(grad.contiguous()), None, None


_scan: Callable[[Tensor], Tensor] = differentiable("cross_scan", _scan_backward, _scan_context)
_merge: Callable[[Tensor, int, int], Tensor] = differentiable("cross_merge", _merge_backward)
