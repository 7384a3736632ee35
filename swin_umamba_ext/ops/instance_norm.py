"""Instance normalisation with what follows it: scale, bias, a residual connection and LeakyReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checks
from .common import backward_operator, compute_dtype, differentiable, forbid_forward_mode


def instance_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    eps: float = 1e-5,
    negative_slope: float = 1.0,
) -> Tensor:
    """Instance normalisation (Ulyanov et al., arXiv:1607.08022), a residual connection and LeakyReLU in one.

    With the mean and the variance of each plane of each image:

        n = (x - mean) / sqrt(variance + eps) * weight + bias + residual
        y = n if n > 0 else negative_slope * n

    Statistics are summed in float32 and float64, whatever the dtype, and hold where the mean is far larger than
    the deviation. A plane of one pixel becomes its bias. On the CPU this is one operator, which reads contiguous
    and channels-last images as they lie; elsewhere, and in what ``torch.export`` and ``torch.jit.trace`` make, it is
    composed of PyTorch's.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
        float32, bfloat16 or float16; float64 if all arguments are. Contiguous or channels last; others are copied.
    weight, bias : Tensor of shape (C,), optional
        Scale and shift of each channel; 1 and 0 if left out.
    residual : Tensor of shape (B, C, H, W), optional
        Added before the activation. Fastest in the dtype and memory format of ``x``.
    eps : float
        Added to the variance; above 0.
    negative_slope : float
        Of LeakyReLU, at least 0; 1 is no activation, 0 is ReLU.

    Returns
    -------
    Tensor of shape (B, C, H, W), dtype of x
        In the memory format of ``x``, if that is contiguous or channels last.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape, device or number; the message names the argument, what was seen and what is wanted.
    NotImplementedError
        For forward-mode derivatives.
    """
    if torch.jit.is_tracing():  # which takes checks of sizes for a part of the computation
        return _composed(x, weight, bias, residual, eps, negative_slope)
    checks.check_instance_norm(x, weight, bias, residual, eps, negative_slope)
    forbid_forward_mode("instance_norm", x, weight, bias, residual)
    if x.device.type != "cpu" or torch.compiler.is_exporting():
        return _composed(x, weight, bias, residual, eps, negative_slope)
    channels_last = _is_channels_last(x)

    def as_data(t: Tensor | None) -> Tensor | None:
        return None if t is None else (t.permute(0, 2, 3, 1) if channels_last else t).to(x.dtype).contiguous()

    def as_parameter(t: Tensor | None) -> Tensor | None:
        return None if t is None else t.to(compute_dtype(x.dtype)).contiguous()

    arguments = (as_data(x), as_parameter(weight), as_parameter(bias), as_data(residual))
    y = _forward(*arguments, float(eps), float(negative_slope), channels_last)[0]
    return y.permute(0, 3, 1, 2) if channels_last else y


def _is_channels_last(x: Tensor) -> bool:
    # Not by memory_format=torch.channels_last, of which vmap cannot be asked.
    return not x.is_contiguous() and x.permute(0, 2, 3, 1).is_contiguous()


def _composed(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    eps: float,
    negative_slope: float,
) -> Tensor:
    if torch.compiler.is_exporting():
        # What compiles the graph makes few passes of this, in any memory format.
        compute = x.to(compute_dtype(x.dtype))
        variance, mean = torch.var_mean(compute, (2, 3), correction=0, keepdim=True)
        y = (compute - mean) * torch.rsqrt(variance + eps)
        if weight is not None:
            y = y * weight[:, None, None]
        if bias is not None:
            y = y + bias[:, None, None]
    else:
        if any(t is not None and t.dtype != x.dtype for t in (weight, bias)):
            # Of any other types PyTorch's takes no mixture.
            weight, bias = (None if t is None else t.to(compute_dtype(x.dtype)) for t in (weight, bias))
        # Not F.instance_norm, which refuses planes of one pixel.
        y = torch.instance_norm(x, weight, bias, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)
        if _is_channels_last(x):
            y = y.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    if residual is not None:
        y = y + residual
    if negative_slope != 1:
        y = F.leaky_relu(y, negative_slope, inplace=not torch.compiler.is_exporting())
    return y.to(x.dtype)


@torch.library.register_fake("swin_umamba::instance_norm")
def _(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    eps: float,
    negative_slope: float,
    channels_last: bool,
) -> tuple[Tensor, ...]:
    planes = (x.shape[0], x.shape[3 if channels_last else 1])
    return x.new_empty(x.shape), *(x.new_empty(planes, dtype=torch.float64) for _ in range(2))


@torch.library.register_fake("swin_umamba::instance_norm_backward")
def _(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    y: Tensor | None,
    negative_slope: float,
    channels_last: bool,
) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(0) if t is None else t.new_empty(t.shape) for t in (x, weight, bias, y))


def _context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, bias, residual, _, ctx.negative_slope, ctx.channels_last = inputs
    y, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    ctx.set_materialize_grads(False)
    ctx.with_residual = residual is not None
    # The sign of the result, which what follows has to keep as well, stands for the residual.
    sign = y if ctx.with_residual and ctx.negative_slope != 1 else None
    ctx.save_for_backward(x, weight, bias, mean, rstd, sign)


def _backward(ctx: Any, grad_y: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    x, weight, bias, mean, rstd, sign = ctx.saved_tensors
    if grad_y is None:
        return (None,) * 7
    grad_y = grad_y.contiguous()
    grads = _adjoint(grad_y, x, weight, bias, mean, rstd, sign, ctx.negative_slope, ctx.channels_last)
    grad_x, grad_weight, grad_bias, grad_residual = grads
    if sign is None:
        grad_residual = grad_y if ctx.with_residual else None
    return (
        grad_x,
        None if weight is None else grad_weight,
        None if bias is None else grad_bias,
        grad_residual,
        None,
        None,
        None,
    )


_forward: Callable[..., tuple[Tensor, Tensor, Tensor]] = differentiable("instance_norm", _backward, _context)
_adjoint = backward_operator("instance_norm")
