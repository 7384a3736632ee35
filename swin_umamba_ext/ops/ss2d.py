"""Fused 2-D selective scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import checks, plain
from .common import (
    backward_operator,
    compute_dtype,
    differentiable,
    forbid_forward_mode,
    needs_grad,
    nothing_saved,
    ss2d_saved_states,
)
from .devices import lacks_kernels


def ss2d(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
) -> Tensor:
    """2-D selective scan (SS2D; paper Eqs. 1-3) of a channels-last image, as one operator.

    Cross-scan, projection of every pixel to dt, B and C, softplus, selective scan with
    ``A = -exp(A_logs)``, and the merge of the four directions. The image is never copied into scan
    order. ``x`` is read in its own dtype; everything after is float32.

    Parameters
    ----------
    x : Tensor of shape (B, H, W, D)
        float32, bfloat16 or float16; float64 if all arguments are. Any strides; contiguous is fastest.
    x_proj_weight : Tensor of shape (4, R+2N, D)
        Rows: R for dt, N for B, N for C. Directions as in `cross_scan`.
    dt_projs_weight : Tensor of shape (4, D, R)
        From the R numbers of a pixel to the step size of each channel, by direction.
    dt_projs_bias : Tensor of shape (4, D)
        Added to these, before softplus.
    A_logs : Tensor of shape (4*D, N)
        Logarithms of the rates of decay, N states for each channel of each direction.
    Ds : Tensor of shape (4*D,)
        Weights of the direct path, added as ``Ds * x``.

    Returns
    -------
    Tensor of shape (B, H, W, D), float32 (float64 for float64)
        The sum over the four directions.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or device; the message names the argument, what was seen and what is wanted.
    NotImplementedError
        For forward-mode derivatives.

    Notes
    -----
    A graph that ``torch.export`` makes is for inference: its gradient is a ``RuntimeError``.
    """
    checks.check_ss2d(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    forbid_forward_mode("ss2d", x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    if lacks_kernels(x.device):
        return plain.ss2d(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    compute = compute_dtype(x.dtype)
    parameters = (x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    arguments = (x.contiguous(), *(p.to(compute).contiguous() for p in parameters))
    return _forward(*arguments, needs_grad(*arguments))[0]


@torch.library.register_fake("swin_umamba::ss2d")
def _(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
    save_states: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, height, width, dim = x.shape
    compute, state = compute_dtype(x.dtype), A_logs.shape[1]
    length = height * width
    directions, rows, _ = x_proj_weight.shape
    if x.device.type == "cuda":
        projected = (batch, length, directions, rows + -dt_projs_weight.shape[2] % 4)
    else:
        projected = (directions, batch, length, rows)
    saved = ss2d_saved_states(length, x.device) if save_states else 0
    return (
        x.new_empty(batch, height, width, dim, dtype=compute),
        x.new_empty(projected if save_states else 0, dtype=compute),
        x.new_empty(directions, batch, saved, state, dim, dtype=compute),
    )


@torch.library.register_fake("swin_umamba::ss2d_backward")
def _(
    grad_y: Tensor,
    projected_x: Tensor,
    states: Tensor,
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
) -> tuple[Tensor, ...]:
    inputs = (x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    return tuple(t.new_empty(t.shape) for t in inputs)


def _context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.save_states = inputs
    _, projected_x, states = output
    ctx.mark_non_differentiable(projected_x, states)
    ctx.set_materialize_grads(False)
    if ctx.save_states:
        ctx.save_for_backward(*tensors, projected_x, states)


def _backward(ctx: Any, grad_y: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if not ctx.save_states:
        raise nothing_saved("ss2d")
    *tensors, projected_x, states = ctx.saved_tensors
    if grad_y is None:
        return (None,) * (len(tensors) + 1)
    grads = _adjoint(grad_y.contiguous(), projected_x, states, *tensors)
    return *grads, None


_forward: Callable[..., tuple[Tensor, Tensor, Tensor]] = differentiable("ss2d", _backward, _context)
_adjoint = backward_operator("ss2d")
