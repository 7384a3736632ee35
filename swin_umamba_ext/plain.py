"""The scans in plain torch operations, for devices that have no kernels: fast where the reference is slow.

The functions have the names, arguments and results of the fast ones in `swin_umamba_ext`, which take them by
themselves on such a device. Sequences are cut into chunks; the steps of all chunks are taken side by side, first from a
state of zero, then, after the states have been carried from chunk to chunk, from the true one. Steps go in groups
whose decays, inputs and outputs are made as a whole, so that a step itself is one multiplication and addition. The
gradient is that of the kernels: from states saved before each group, the states of a group are made again, and the
adjoint runs from the end (equations in csrc/kernels/cuda/scan_tile_backward.h). Nothing of size L * D * N is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from . import checks
from .ops.torch_private import transforms_active
from .reference import _compute_dtype, cross_merge, cross_scan

__all__ = ["cross_merge", "cross_scan", "selective_scan", "ss2d"]

# Numbers of one operation of a step, and of a group of steps: enough to be worth a call, few enough for the caches of a
# processor or the memory of a GPU.
_STEP_NUMBERS = {"cpu": 1 << 14}
_GROUP_NUMBERS = {"cpu": 1 << 18}
_STEP_NUMBERS_ELSEWHERE = 1 << 20
_GROUP_NUMBERS_ELSEWHERE = 1 << 24


def _split(m: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    split: Tensor = m.unflatten(dim, sizes)
    return split


def _times(a: Tensor, b: Tensor) -> Tensor:
    """``a * b`` in the memory of ``a``, unless a transform of torch.func may map over ``b`` alone."""
    return a * b if transforms_active() else a.mul_(b)


@dataclass(frozen=True)
class _Plan:
    """How a sequence is cut: ``chunks`` of ``steps``, which are taken in groups of ``group``."""

    chunks: int
    steps: int
    group: int

    @classmethod
    def of(cls, length: int, numbers: int, device: torch.device) -> _Plan:
        """``numbers``: those of one step of one chunk. A traced graph has its steps written out, so it gets few."""
        most = math.isqrt(length - 1) + 1
        if torch.compiler.is_compiling():
            chunks, of_group = most, _GROUP_NUMBERS_ELSEWHERE
        else:
            wanted = _STEP_NUMBERS.get(device.type, _STEP_NUMBERS_ELSEWHERE) // numbers
            chunks, of_group = min(most, max(1, wanted)), _GROUP_NUMBERS.get(device.type, _GROUP_NUMBERS_ELSEWHERE)
        steps = -(-length // chunks)
        return cls(chunks, steps, min(steps, max(1, of_group // (chunks * numbers))))

    def chunked(self, sequence: Tensor) -> Tensor:
        """(..., L) to (..., chunks, steps), zeros after the end; a view where none are needed."""
        rest = self.chunks * self.steps - sequence.shape[-1]
        return _split(F.pad(sequence, (0, rest)) if rest else sequence, -1, (self.chunks, self.steps))

    def groups(self) -> list[slice]:
        return [slice(start, min(start + self.group, self.steps)) for start in range(0, self.steps, self.group)]


def _run(decay: Tensor, inputs: Tensor, state: Tensor | None) -> list[Tensor]:
    """The states after each step of ``decay * state + inputs``."""
    states = []
    for a, b in zip(decay.unbind(0), inputs.unbind(0), strict=True):
        state = b if state is None else torch.addcmul(b, a, state)
        states.append(state)
    return states


def _carry(whole_decay: Tensor, ends: Tensor, state: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """The true states before all chunks, and after the last, from those that chunks reach from zero."""
    before = []
    chunks = list(zip(whole_decay.unbind(0), ends.unbind(0), strict=True))
    for decay, end in reversed(chunks) if reverse else chunks:
        before.append(state)
        # A decay above one may be infinite over a chunk where those of single steps are not.
        state = torch.where(state == 0, end, torch.addcmul(end, decay, state))
    return torch.stack(before[::-1] if reverse else before), state


class _Scan:
    """One scan, cut. A group's dt and u are (steps, chunks, B, G, 1, C), A is (G, N, C), a group's B and C are
    (steps, chunks, B, G, N, 1) or, constant, (G, N, C). G groups of C channels have their own B and C."""

    def __init__(self, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> None:
        batch, dim, self.length = u.shape
        state = A.shape[1]
        self.groups = next((m.shape[1] for m in (B, C) if m.dim() == 4), 1)
        self.plan = _Plan.of(self.length, batch * dim * state, u.device)
        self.sequences = {"u": self.plan.chunked(u), "dt": self.plan.chunked(dt)}
        self.matrices = {"B": B, "C": C}
        self.constant = {name: m.dim() == 2 for name, m in self.matrices.items()}
        for name, m in self.matrices.items():
            self.matrices[name] = self._by_group(m) if self.constant[name] else self.plan.chunked(m)
        self.A = self._by_group(A)
        self.zero = dt.new_zeros(batch, self.groups, state, dim // self.groups)

    def _by_group(self, m: Tensor) -> Tensor:
        return _split(m, 0, (self.groups, -1)).mT

    def by_channel(self, sequence: Tensor, steps: slice) -> Tensor:
        part = sequence[..., steps].movedim((-1, -2), (0, 1)).contiguous()
        return _split(part, -1, (self.groups, 1, -1))

    def matrix(self, name: str, steps: slice) -> Tensor:
        m = self.matrices[name]
        return m if self.constant[name] else m[..., steps].movedim((-1, -2), (0, 1)).contiguous().unsqueeze(-1)

    def decay_and_inputs(self, steps: slice) -> tuple[Tensor, Tensor]:
        dt = self.by_channel(self.sequences["dt"], steps)
        scaled = dt * self.by_channel(self.sequences["u"], steps)
        return (dt * self.A).exp_(), scaled * self.matrix("B", steps)

    def decay(self, steps: slice) -> Tensor:
        return (self.by_channel(self.sequences["dt"], steps) * self.A).exp_()

    def whole_decay(self) -> Tensor:
        dt = self.sequences["dt"].sum(-1, keepdim=True)
        return torch.exp(self.by_channel(dt, slice(None))[0] * self.A)

    def starts(self) -> Tensor:
        """The states before the chunks."""
        if self.plan.chunks == 1:
            return self.zero[None]
        end = None
        for steps in self.plan.groups():
            end = _run(*self.decay_and_inputs(steps), end)[-1]
        assert end is not None
        return _carry(self.whole_decay(), end, self.zero)[0]

    def join_channels(self, parts: list[Tensor]) -> Tensor:
        """Groups of (steps, chunks, B, G, 1, C), one after the other, to (B, D, L)."""
        return self._join([part.flatten(-3) for part in parts])

    def join_matrix(self, parts: list[Tensor]) -> Tensor:
        """Groups of (steps, chunks, B, G, N, 1), one after the other, to (B, G, N, L)."""
        return self._join([part.squeeze(-1) for part in parts])

    def _join(self, parts: list[Tensor]) -> Tensor:
        parts = [part.movedim((0, 1), (-1, -2)) for part in parts]
        return torch.cat(parts, dim=-1).flatten(-2)[..., : self.length]


def _over_states(matrix: Tensor, values: Tensor, constant: bool) -> Tensor:
    """The sums over the states of their products, (..., 1, C)."""
    return (matrix * values).sum(-2, keepdim=True) if constant else matrix.mT @ values


def _over_channels(values: Tensor, scale: Tensor, constant: bool) -> Tensor:
    """What a step adds to the gradient of B or C."""
    return (values * scale).flatten(0, 2).sum(0) if constant else values @ scale.mT


def _forward(scan: _Scan) -> tuple[Tensor, Tensor, Tensor]:
    """y without the skip, the last state, and the states before each group of steps."""
    before, y, state = [], [], scan.starts()
    for steps in scan.plan.groups():
        before.append(state)
        states = torch.stack(_run(*scan.decay_and_inputs(steps), state))
        y.append(_over_states(scan.matrix("C", steps), states, scan.constant["C"]))
        state = states[-1].clone()  # and not all of them with it
    return scan.join_channels(y), state[-1].mT.flatten(1, 2), torch.stack(before)


def _adjoint(decay: Tensor, outer: Tensor, v: Tensor | None) -> Tensor:
    """g, the gradient with respect to the state after each step, from v, what comes from the steps after the last.

    ``g_t = C_t dy_t + a_(t+1) g_(t+1)``: the recurrence backwards, with the decays of the step after.
    """
    later = torch.cat([torch.ones_like(decay[:1]), decay.flip(0)[:-1]])
    return torch.stack(_run(later, outer.flip(0), torch.zeros_like(decay[0]) if v is None else v)[::-1])


def _backward(scan: _Scan, saved: Tensor, grad_y: Tensor, grad_last: Tensor) -> tuple[Tensor, ...]:
    """The gradients of u, dt, A, B and C."""
    plan = scan.plan
    grad_y = plan.chunked(grad_y)
    v = grad_last.unflatten(1, (scan.groups, -1)).mT
    if plan.chunks == 1:
        v = v[None]
    else:
        before = None
        for steps in reversed(plan.groups()):
            decay = scan.decay(steps)
            outer = scan.by_channel(grad_y, steps) * scan.matrix("C", steps)
            before = decay[0] * _adjoint(decay, outer, before)[0]
        assert before is not None
        v, _ = _carry(scan.whole_decay(), before, v, reverse=True)

    grad_A = torch.zeros_like(scan.A)
    grads: dict[str, list[Tensor]] = {"u": [], "dt": [], "B": [], "C": []}
    for steps, start in reversed(list(zip(plan.groups(), saved.unbind(0), strict=True))):
        decay, inputs = scan.decay_and_inputs(steps)
        u, dt = (scan.by_channel(scan.sequences[name], steps) for name in ("u", "dt"))
        B, C, dy = scan.matrix("B", steps), scan.matrix("C", steps), scan.by_channel(grad_y, steps)
        states = torch.stack([start, *_run(decay, inputs, start)])
        del inputs
        g = _adjoint(decay, dy * C, v)
        grads["C"].append(_over_channels(states[1:], dy, scan.constant["C"]))
        grads["B"].append(_over_channels(g, dt * u, scan.constant["B"]))
        of_input = _over_states(B, g, scan.constant["B"])
        decayed = _times(decay, g)
        v = decayed[0].clone()
        decayed = _times(decayed, states[:-1])
        grads["u"].append(dt * of_input)
        grads["dt"].append(u * of_input + _over_states(scan.A, decayed, True))
        grad_A = grad_A + _times(decayed, dt).flatten(0, 2).sum(0)

    def whole(name: str) -> Tensor:
        parts = grads.pop(name)[::-1]
        if name in ("u", "dt"):
            return scan.join_channels(parts)
        return reduce(torch.add, parts).mT.flatten(0, 1) if scan.constant[name] else scan.join_matrix(parts)

    return whole("u"), whole("dt"), grad_A.mT.flatten(0, 1), whole("B"), whole("C")


class _Function(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _forward(_Scan(*inputs))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(*inputs, output[2])

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, grad_last: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        *inputs, saved = ctx.saved_tensors
        grads: tuple[Tensor, ...] = _Adjoint.apply(saved, grad_y, grad_last, *inputs)
        return grads


class _Adjoint(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(saved: Tensor, grad_y: Tensor, grad_last: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        return _backward(_Scan(*inputs), saved, grad_y, grad_last)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> NoReturn:
        raise NotImplementedError(
            "second derivatives of the scan are not implemented; those of swin_umamba_ext.reference are"
        )


def _scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    inputs = (u, dt, A, B, C)
    if torch.compiler.is_exporting():
        return _forward(_Scan(*inputs))[:2]
    y, last_state, _ = _Function.apply(*inputs)
    return y, last_state


def _with_groups(matrix: Tensor, groups: int) -> Tensor:
    """B or C as (B, groups, N, L), or (D, N) as it is."""
    if matrix.dim() == 2:
        return matrix
    matrix = matrix.unsqueeze(1) if matrix.dim() == 3 else matrix
    return matrix.repeat_interleave(groups // matrix.shape[1], dim=1)


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
    """Selective scan in plain torch operations; as `swin_umamba_ext.selective_scan` (Mamba, Algorithm 2).

    Parameters
    ----------
    u, delta : Tensor of shape (B, D, L)
    A : Tensor of shape (D, N)
    B, C : Tensor of shape (D, N), (B, N, L) or (B, G, N, L)
    D, delta_bias : Tensor of shape (D,), optional
    z : Tensor of shape (B, D, L), optional
    delta_softplus, return_last_state : bool

    Returns
    -------
    out : Tensor of shape (B, D, L), dtype of ``u``
    last_state : Tensor of shape (B, D, N), float32 (float64 for float64 input)
        Only if ``return_last_state``.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or device.
    NotImplementedError
        For second derivatives.
    """
    checks.check_selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)
    dtype = _compute_dtype(u)
    x, dt = u.to(dtype), delta.to(dtype)
    if delta_bias is not None:
        dt = dt + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    groups = math.lcm(*(m.shape[1] if m.dim() == 4 else 1 for m in (B, C)))
    y, last_state = _scan(x, dt, A.to(dtype), *(_with_groups(m.to(dtype), groups) for m in (B, C)))
    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    out = y.to(u.dtype)
    return (out, last_state) if return_last_state else out


def _direction(
    pixels: Tensor, weight: Tensor, dt_weight: Tensor, bias: Tensor, A_log: Tensor, D: Tensor, direction: int
) -> Tensor:
    """One direction of ss2d: ``pixels`` (B, H, W, D) to y of the same shape."""
    columns, backwards = direction % 2 == 1, direction >= 2
    image = pixels.transpose(1, 2) if columns else pixels
    sequence = image.flatten(1, 2)
    if backwards:
        sequence = sequence.flip(1)
    rank, state = dt_weight.shape[1], A_log.shape[1]
    dt, B, C = (sequence @ weight.mT).split([rank, state, state], dim=-1)
    dt = F.softplus(dt @ dt_weight.mT + bias)
    u = sequence.mT
    y, _ = _scan(u, dt.mT, -torch.exp(A_log), B.mT.unsqueeze(1), C.mT.unsqueeze(1))
    y = (y + D[:, None] * u).mT
    if backwards:
        y = y.flip(1)
    y = _split(y, 1, image.shape[1:3])
    return y.transpose(1, 2) if columns else y


def ss2d(
    x: Tensor, x_proj_weight: Tensor, dt_projs_weight: Tensor, dt_projs_bias: Tensor, A_logs: Tensor, Ds: Tensor
) -> Tensor:
    """2-D selective scan in plain torch operations; as `swin_umamba_ext.ss2d` (paper Eqs. 1-3).

    One direction at a time is held, in the backward pass too, which makes each direction again.

    Parameters
    ----------
    x : Tensor of shape (B, H, W, D)
    x_proj_weight : Tensor of shape (4, R+2N, D)
    dt_projs_weight : Tensor of shape (4, D, R)
    dt_projs_bias : Tensor of shape (4, D)
    A_logs : Tensor of shape (4*D, N)
    Ds : Tensor of shape (4*D,)

    Returns
    -------
    Tensor of shape (B, H, W, D), float32 (float64 for float64)

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or device.
    NotImplementedError
        For second derivatives.
    """
    checks.check_ss2d(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    dtype = _compute_dtype(x)
    pixels = x.to(dtype)
    parameters = (
        x_proj_weight.to(dtype),
        dt_projs_weight.to(dtype),
        dt_projs_bias.to(dtype),
        A_logs.to(dtype).unflatten(0, (checks.N_DIRECTIONS, -1)),
        Ds.to(dtype).unflatten(0, (checks.N_DIRECTIONS, -1)),
    )
    wants_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (pixels, *parameters))

    def part(direction: int) -> Tensor:
        weight, dt_weight, bias, A_log, D = (p[direction] for p in parameters)
        arguments = (pixels, weight, dt_weight, bias, A_log, D, direction)
        if wants_grad and not torch.compiler.is_compiling() and not transforms_active():
            again: Tensor = checkpoint(_direction, *arguments, use_reentrant=False, preserve_rng_state=False)
            return again
        return _direction(*arguments)

    y = part(0)
    for direction in range(1, checks.N_DIRECTIONS):
        y = y + part(direction)
    return y.contiguous()
