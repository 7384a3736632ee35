"""Selective scan."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
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
    saved_states,
)
from .devices import lacks_kernels


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Selective scan (S6; paper Eq. 2; Gu and Dao, "Mamba", arXiv:2312.00752, Algorithm 2).

    With ``dt = softplus(delta + delta_bias)`` and a state ``h`` of size N per channel:

        h_t = exp(dt_t * A) * h_{t-1} + dt_t * B_t * u_t
        y_t = <C_t, h_t> + D * u_t
        out = y * silu(z)

    Arguments and results are those of mamba-ssm's ``selective_scan_fn`` for real A. Data (``u``,
    ``delta``, ``z``, and B and C that vary with time) is read as it is, or, where dtypes differ, as
    their common dtype; the state and all sums are float32.

    Parameters
    ----------
    u, delta : Tensor of shape (B, D, L)
        The sequence and its step sizes. float32, bfloat16 or float16; float64 if all arguments are.
    A : Tensor of shape (D, N)
        Rates of the N states of each channel; negative ones decay.
    B, C : Tensor of shape (D, N), (B, N, L) or (B, G, N, L)
        Constant, shared by all channels, or shared within each of G groups of channels.
    D, delta_bias : Tensor of shape (D,), optional
        Weight of the direct path, and what is added to ``delta``.
    z : Tensor of shape (B, D, L), optional
        Gate.
    delta_softplus : bool
        Apply softplus to ``delta + delta_bias``.
    return_last_state : bool
        Also return the state after the last step. Its gradient flows back too.

    Returns
    -------
    out : Tensor of shape (B, D, L), dtype of u
        The result for each step.
    last_state : Tensor of shape (B, D, N), float32 (float64 for float64)
        Only if ``return_last_state``.

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
    checks.check_selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)
    forbid_forward_mode("selective_scan", u, delta, A, B, C, D, z, delta_bias)
    if lacks_kernels(u.device):
        return plain.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)
    B, C = (_add_group(m) for m in (B, C))
    data = [t for t in (u, delta, z, B, C) if t is not None and t.dim() > 2]
    dtype = reduce(torch.promote_types, [t.dtype for t in data])
    compute = compute_dtype(dtype)
    groups = _common_groups([m.shape[1] for m in (B, C) if m.dim() == 4])

    def as_data(t: Tensor) -> Tensor:
        return t.to(dtype).contiguous()

    def as_parameter(t: Tensor) -> Tensor:
        return t.to(compute).contiguous()

    def as_coefficient(m: Tensor) -> Tensor:
        if m.dim() == 2:
            return as_parameter(m)
        return as_data(m if m.shape[1] == groups else m.repeat_interleave(groups // m.shape[1], dim=1))

    arguments = (
        as_data(u),
        as_data(delta),
        as_parameter(A),
        as_coefficient(B),
        as_coefficient(C),
        None if D is None else as_parameter(D),
        None if z is None else as_data(z),
        None if delta_bias is None else as_parameter(delta_bias),
    )
    out, last_state, _ = _forward(*arguments, bool(delta_softplus), needs_grad(*arguments))
    out = out.to(u.dtype)
    return (out, last_state) if return_last_state else out


def _add_group(m: Tensor) -> Tensor:
    return m.unsqueeze(1) if m.dim() == 3 else m


def _common_groups(groups: list[int]) -> int:
    """Least common multiple; math.lcm does not take the symbols of a traced graph."""
    multiple, *others = groups or [1]
    for count in others:
        if count != multiple:
            divisor, rest = multiple, count
            while rest != 0:
                divisor, rest = rest, divisor % rest
            multiple = multiple // divisor * count
    return multiple


@torch.library.register_fake("swin_umamba::selective_scan")
def _(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    save_states: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, dim, length = u.shape
    compute = compute_dtype(u.dtype)
    saved = saved_states(length, u.device) if save_states else 0
    return (
        u.new_empty(batch, dim, length),
        u.new_empty(batch, dim, A.shape[1], dtype=compute),
        u.new_empty(batch, saved, A.shape[1], dim, dtype=compute),
    )


@torch.library.register_fake("swin_umamba::selective_scan_backward")
def _(
    grad_out: Tensor,
    grad_last_state: Tensor | None,
    states: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, ...]:
    inputs = (u, delta, A, B, C, D, z, delta_bias)
    dtypes = (u.dtype, u.dtype, A.dtype, B.dtype, C.dtype, A.dtype, u.dtype, A.dtype)
    return tuple(u.new_empty(0 if t is None else t.shape, dtype=dtype) for t, dtype in zip(inputs, dtypes, strict=True))


def _context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.delta_softplus, ctx.save_states = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    if ctx.save_states:
        ctx.save_for_backward(*tensors, output[2])


def _backward(
    ctx: Any, grad_out: Tensor | None, grad_last_state: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    if not ctx.save_states:
        raise nothing_saved("selective_scan")
    *tensors, states = ctx.saved_tensors
    u = tensors[0]
    grad_out = torch.zeros_like(u) if grad_out is None else grad_out.contiguous()
    if grad_last_state is not None:
        grad_last_state = grad_last_state.contiguous()
    grads = _adjoint(grad_out, grad_last_state, states, *tensors, ctx.delta_softplus)
    return *(None if t is None else g for t, g in zip(tensors, grads, strict=True)), None, None


_forward: Callable[..., tuple[Tensor, Tensor, Tensor]] = differentiable("selective_scan", _backward, _context)
_adjoint = backward_operator("selective_scan")
