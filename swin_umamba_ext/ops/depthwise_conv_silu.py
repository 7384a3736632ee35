"""Depthwise convolution and SiLU in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checks
from .common import backward_operator, compute_dtype, differentiable, forbid_forward_mode


def depthwise_conv_silu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``silu(conv2d(x))`` of a channels-last image, each channel by itself: what precedes `ss2d` in VMamba.

    3x3, with a border of zeros. On the CPU this is one operator, which computes in float32, rounds once and saves
    nothing but its arguments for the backward pass; on other devices, and where torch.compile, torch.export or a tracer
    looks on, it is PyTorch's own functions, in the type of ``x`` or autocast's.

    Parameters
    ----------
    x : Tensor of shape (B, H, W, D)
        float32, bfloat16 or float16. A slice of the last dimension of a contiguous tensor is as fast as a contiguous
        one.
    weight : Tensor of shape (D, 1, 3, 3)
        As of ``torch.nn.Conv2d(D, D, 3, padding=1, groups=D)``. Converted to float32, float64 if all arguments are.
    bias : Tensor of shape (D,)
        Likewise.

    Returns
    -------
    Tensor of shape (B, H, W, D), dtype of x
        In the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or device; the message names the argument, what was seen and what is wanted.
    NotImplementedError
        For forward-mode derivatives.
    """
    checks.check_depthwise_conv_silu(x, weight, bias)
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        image, weight, bias = x.permute(0, 3, 1, 2), weight.to(x.dtype), bias.to(x.dtype)
        y = F.silu(F.conv2d(image, weight, bias, padding=1, groups=x.shape[3])).permute(0, 2, 3, 1)
        return y.to(x.dtype)  # autocast chooses another
    forbid_forward_mode("depthwise_conv_silu", x, weight, bias)
    compute = compute_dtype(x.dtype)
    rows = x.reshape(-1, x.shape[3])
    if rows.stride(1) != 1:
        rows = rows.contiguous()
    return _forward(rows.view(x.shape), weight.to(compute).contiguous(), bias.to(compute).contiguous())


@torch.library.register_fake("swin_umamba::depthwise_conv_silu")
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.register_fake("swin_umamba::depthwise_conv_silu_backward")
def _(grad_out: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.new_empty(t.shape) for t in (x, weight, bias))


def _context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = _adjoint(grad_out.contiguous(), *ctx.saved_tensors)
    return gradients


_forward: Callable[..., Tensor] = differentiable("depthwise_conv_silu", _backward, _context)
_adjoint = backward_operator("depthwise_conv_silu")
