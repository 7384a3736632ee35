"""Operations of the operators, for ``torch.utils.flop_counter.FlopCounterMode``.

Importing `swin_umamba_ext` registers them, so that any ``FlopCounterMode`` counts the operators, forward and
backward. As in PyTorch's own formulas, a multiply-accumulate of a matrix product is two operations, and the
gradient of a product is two products. A state update of the scan is nine operations; its gradient counts as
three scans, one for the states that are computed again and two for the adjoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from . import library as library  # registers the operators

OPERATIONS_PER_UPDATE = 9
BACKWARD_SCANS = 3

Shape = Sequence[int]


def scan_operations(batch: int, length: int, dim: int, state: int, skip: bool = True) -> int:
    """Operations of a selective scan: 9·B·L·D·N, and B·L·D for the skip with the coefficients D.

    The formula behind the numbers of VMamba (arXiv:2401.10166) and of the paper's Table 2. Softplus and the
    gate are not counted, as activations are not elsewhere.

    Parameters
    ----------
    batch, length, dim, state : int
        B, L, D and N of the sequences (B, D, L).
    skip : bool
        Whether there are coefficients D.
    """
    return OPERATIONS_PER_UPDATE * batch * length * dim * state + (batch * length * dim if skip else 0)


def selective_scan_operations(u: Shape, A: Shape, D: Shape | None) -> int:
    """Operations of `swin_umamba_ext.selective_scan`, from the shapes of its arguments."""
    batch, dim, length = u
    return scan_operations(batch, length, dim, A[1], skip=D is not None)


def ss2d_scan_operations(x: Shape, A_logs: Shape) -> int:
    """Operations of the scans of all directions in `swin_umamba_ext.ss2d`, from the shapes of its arguments."""
    batch, height, width, _ = x
    dim, state = A_logs
    return scan_operations(batch, height * width, dim, state)


def ss2d_projection_multiply_accumulates(x: Shape, x_proj_weight: Shape, dt_projs_weight: Shape) -> int:
    """Multiply-accumulates of the projections in `swin_umamba_ext.ss2d`, from the shapes of its arguments."""
    return prod(x[:3]) * (prod(x_proj_weight) + prod(dt_projs_weight))


@register_flop_formula(torch.ops.swin_umamba.selective_scan)
def _selective_scan(u: Shape, delta: Shape, A: Shape, B: Shape, C: Shape, D: Shape | None, *rest: Any, **_: Any) -> int:
    return selective_scan_operations(u, A, D)


@register_flop_formula(torch.ops.swin_umamba.selective_scan_backward)
def _selective_scan_backward(
    grad_out: Shape, grad_last_state: Shape | None, states: Shape, *inputs: Any, **_: Any
) -> int:
    return BACKWARD_SCANS * _selective_scan(*inputs)


@register_flop_formula(torch.ops.swin_umamba.ss2d)
def _ss2d(
    x: Shape, x_proj_weight: Shape, dt_projs_weight: Shape, dt_projs_bias: Shape, A_logs: Shape, *rest: Any, **_: Any
) -> int:
    projections = ss2d_projection_multiply_accumulates(x, x_proj_weight, dt_projs_weight)
    return ss2d_scan_operations(x, A_logs) + 2 * projections


@register_flop_formula(torch.ops.swin_umamba.ss2d_backward)
def _ss2d_backward(
    grad_y: Shape,
    projected_x: Shape,
    states: Shape,
    x: Shape,
    x_proj_weight: Shape,
    dt_projs_weight: Shape,
    dt_projs_bias: Shape,
    A_logs: Shape,
    *rest: Any,
    **_: Any,
) -> int:
    projections = ss2d_projection_multiply_accumulates(x, x_proj_weight, dt_projs_weight)
    return BACKWARD_SCANS * ss2d_scan_operations(x, A_logs) + 4 * projections


@register_flop_formula(torch.ops.swin_umamba.depthwise_conv_silu)
def _depthwise_conv_silu(x: Shape, weight: Shape, bias: Shape, **_: Any) -> int:
    return 2 * prod(x) * prod(weight[2:])


@register_flop_formula(torch.ops.swin_umamba.depthwise_conv_silu_backward)
def _depthwise_conv_silu_backward(grad_out: Shape, *inputs: Any, **_: Any) -> int:
    return 2 * _depthwise_conv_silu(*inputs)


@register_flop_formula([torch.ops.swin_umamba.gated_layer_norm, torch.ops.swin_umamba.gated_layer_norm_backward])
def _gated_layer_norm(*_: Any, **__: Any) -> int:
    return 0  # as PyTorch counts norms and activations
