"""Layer normalisation and a gate in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checks
from .common import backward_operator, compute_dtype, differentiable, forbid_forward_mode


def gated_layer_norm(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """``layer_norm(y) * silu(z)`` over the last dimension: what follows `ss2d` in VMamba.

    Layer normalisation (arXiv:1607.06450) with scale and bias, computed in float32 and rounded once. On the CPU
    this is one operator, which saves nothing but its arguments for the backward pass; on other devices, and where
    torch.compile, torch.export or a tracer looks on, it is PyTorch's own functions.

    Parameters
    ----------
    y : Tensor of shape (..., D)
        Converted to float32 if it is of half precision, float64 if all arguments are. Contiguous is fastest.
    z : Tensor of shape (..., D)
        float32, bfloat16 or float16. A slice of the last dimension of a contiguous tensor is as fast as a contiguous
        one.
    weight, bias : Tensor of shape (D,)
        Scale and shift of the normalised numbers.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor of shape (..., D), dtype of z
        In the shape of ``z``.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or device; the message names the argument, what was seen and what is wanted.
    NotImplementedError
        For forward-mode derivatives.
    """
    checks.check_gated_layer_norm(y, z, weight, bias, eps)
    compute, dim = compute_dtype(z.dtype), z.shape[-1]
    y, weight, bias = y.to(compute), weight.to(compute), bias.to(compute)
    if z.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return (F.layer_norm(y, (dim,), weight, bias, eps) * F.silu(z)).to(z.dtype)
    forbid_forward_mode("gated_layer_norm", y, z, weight, bias)
    rows = z.reshape(-1, dim)
    if rows.stride(1) != 1:
        rows = rows.contiguous()
    out = _forward(y.reshape(-1, dim).contiguous(), rows, weight.contiguous(), bias.contiguous(), float(eps))
    return out.view(z.shape)


@torch.library.register_fake("swin_umamba::gated_layer_norm")
def _(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return z.new_empty(z.shape)


@torch.library.register_fake("swin_umamba::gated_layer_norm_backward")
def _(grad_out: Tensor, y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
    return tuple(t.new_empty(t.shape) for t in (y, z, weight, bias))


def _context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    return *_adjoint(grad_out.contiguous(), *ctx.saved_tensors, ctx.eps), None


_forward: Callable[..., Tensor] = differentiable("gated_layer_norm", _backward, _context)
_adjoint = backward_operator("gated_layer_norm")
