"""Operations of the operators, for ``torch.utils.flop_counter.FlopCounterMode``.

Importing `swin_umamba_ext` registers them, so that any ``FlopCounterMode`` counts the operators, forward and
backward. As PyTorch's own formulas do, they count a multiply-accumulate of a matrix product as two
operations, and the gradient of a product as two products. A state update of the scan counts as nine
operations, and its gradient as eighteen on top of the nine of the states that are computed again.

``*_multiply_accumulates`` count in the convention of fvcore and of the paper's Table 2 instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch.utils.flop_counter import register_flop_formula

from . import library as library  # registers the operators

OPERATIONS_PER_UPDATE = 9

Shape = Sequence[int]


def scan_operations(batch: int, length: int, dim: int, state: int, skip: bool = True) -> int:
    """Operations of a selective scan: 9·B·L·D·N, and B·L·D for the skip with the coefficients D.

    The formula that VMamba (arXiv:2401.10166) published its numbers with. Softplus and the gate are not
    counted, as activations are not elsewhere.

    Parameters
    ----------
    batch, length, dim, state : int
        B, L, D and N of the sequences (B, D, L).
    skip : bool
        Whether there are coefficients D.
    """
    return OPERATIONS_PER_UPDATE * batch * length * dim * state + (batch * length * dim if skip else 0)


def selective_scan_multiply_accumulates(u: Shape, A: Shape, D: Shape | None) -> int:
    """`swin_umamba_ext.selective_scan` from the shapes of its arguments: the scan alone."""
    batch, dim, length = u
    return scan_operations(batch, length, dim, A[1], skip=D is not None)


def ss2d_multiply_accumulates(x: Shape, x_proj_weight: Shape, dt_projs_weight: Shape, A_logs: Shape) -> int:
    """`swin_umamba_ext.ss2d` from the shapes of its arguments: the scans of all directions, and the projections."""
    return _ss2d_scan(x, A_logs) + _ss2d_projections(x, x_proj_weight, dt_projs_weight)


def _ss2d_scan(x: Shape, A_logs: Shape) -> int:
    batch, height, width, _ = x
    return scan_operations(batch, height * width, *A_logs)


def _ss2d_projections(x: Shape, x_proj_weight: Shape, dt_projs_weight: Shape) -> int:
    return prod(x[:3]) * (prod(x_proj_weight) + prod(dt_projs_weight))


@register_flop_formula(torch.ops.swin_umamba.selective_scan)
def _selective_scan(u, delta, A, B, C, D, *args, out_shape=None, **kwargs) -> int:
    return selective_scan_multiply_accumulates(u, A, D)


@register_flop_formula(torch.ops.swin_umamba.selective_scan_backward)
def _selective_scan_backward(
    grad_out, grad_last_state, states, u, delta, A, B, C, D, *args, out_shape=None, **kwargs
) -> int:
    return 3 * selective_scan_multiply_accumulates(u, A, D)


@register_flop_formula(torch.ops.swin_umamba.ss2d)
def _ss2d(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, *args, out_shape=None, **kwargs) -> int:
    return _ss2d_scan(x, A_logs) + 2 * _ss2d_projections(x, x_proj_weight, dt_projs_weight)


@register_flop_formula(torch.ops.swin_umamba.ss2d_backward)
def _ss2d_backward(
    grad_y,
    projected_x,
    states,
    x,
    x_proj_weight,
    dt_projs_weight,
    dt_projs_bias,
    A_logs,
    *args,
    out_shape=None,
    **kwargs,
) -> int:
    return 3 * _ss2d_scan(x, A_logs) + 4 * _ss2d_projections(x, x_proj_weight, dt_projs_weight)
