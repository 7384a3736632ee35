"""The operators of `swin_umamba_ext` in standard ONNX operators: what ``torch.onnx`` translates them to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from onnxscript import ir, opset18

from .onnx_blocks import filled_up, floats, ints, length_of

op: Any = opset18  # its types are those of values in a script
OPSET = 18
TO_THE_FIRST = -(2**63)

Translation = Callable[..., tuple[ir.Value, ...]]


@dataclass(frozen=True)
class Scan:
    """How the recurrence is written.

    Attributes
    ----------
    opset : int
        That it takes.
    run : callable
        From A, the first state, dt, dt x, B and C to the last state and y, as `onnx_scans` says.
    block : callable
        From the number of channels to that of positions, of which the length must be a multiple.
    """

    opset: int
    run: Callable[..., Any]
    block: Callable[[int], int]


def translations(scan: Scan) -> dict[Any, Translation]:
    """What ``torch.onnx.export`` takes as ``custom_translation_table``; ``scan`` is one of `onnx_scans` or alike."""
    operators = torch.ops.swin_umamba
    table: dict[Any, Translation] = {operators.ss2d.default: _ss2d, operators.selective_scan.default: _selective_scan}
    return {operator: partial(translate, scan) for operator, translate in table.items()}


def _ss2d(
    scan: Scan,
    x: ir.Value,
    x_proj_weight: ir.Value,
    dt_projs_weight: ir.Value,
    dt_projs_bias: ir.Value,
    A_logs: ir.Value,
    Ds: ir.Value,
    save_states: bool,
) -> tuple[ir.Value, ...]:
    """`swin_umamba_ext.reference.ss2d` of a float32 image, with the four directions as an axis of the batch."""
    directions, rows, dim = _sizes(x_proj_weight)
    _, state = _sizes(A_logs)
    rank = rows - 2 * state

    # The image in the four orders: (4, L, B, D), and (4, L*B, D) for the products. Pixels are turned round here, where
    # they have few channels, and not in the Scan: its directions are those of whole inputs.
    pixels = op.Transpose(x, perm=[1, 2, 0, 3])
    image_shape = op.Shape(pixels)
    sequence_shape = op.Concat(ints(-1), _part(image_shape, 2, 4), axis=0)
    walks = [op.Reshape(pixels, sequence_shape), op.Reshape(op.Transpose(pixels, perm=[1, 0, 2, 3]), sequence_shape)]
    length = length_of(walks[0])
    four = filled_up([*walks, *(_turned(walk, length) for walk in walks)], scan.block(dim))
    four = op.Reshape(four, op.Concat(ints(directions), sequence_shape, axis=0))
    flat = op.Reshape(four, ints(directions, -1, dim))

    projected = op.MatMul(flat, op.Transpose(x_proj_weight, perm=[0, 2, 1]))
    dt, B, C = (_part(projected, *ends, axis=2) for ends in ((0, rank), (rank, rank + state), (rank + state, rows)))
    dt = op.MatMul(dt, op.Transpose(dt_projs_weight, perm=[0, 2, 1]))
    dt = _softplus(op.Add(dt, op.Unsqueeze(dt_projs_bias, ints(1))))

    lengths = _part(op.Shape(four), 0, 3)

    def by_step(array: ir.Value, *last: int) -> ir.Value:
        shape = op.Concat(lengths, ints(*last), axis=0)
        return op.Transpose(op.Reshape(array, shape), perm=[1, 0, 2, 3, 4])

    rates = op.Transpose(op.Reshape(op.Neg(op.Exp(A_logs)), ints(directions, 1, dim, state)), perm=[0, 1, 3, 2])
    rates.shape = ir.Shape([directions, 1, state, dim])
    first_shape = op.Concat(ints(directions), _part(lengths, 2, 3), ints(state, dim), axis=0)
    _, y = scan.run(
        rates,
        op.Expand(floats(0), first_shape),
        by_step(dt, 1, dim),
        by_step(op.Mul(dt, flat), 1, dim),
        by_step(B, state, 1),
        by_step(C, 1, state),
    )

    row, column, row_back, column_back = op.Split(op.Squeeze(y, ints(3)), axis=1, num_outputs=directions)
    row, column = (op.Slice(walk, ints(0), length, ints(0)) for walk in (row, column))
    rows_merged = op.Reshape(op.Add(row, _turned(row_back, length)), image_shape)
    columns_merged = op.Reshape(op.Add(column, _turned(column_back, length)), op.Gather(image_shape, ints(1, 0, 2, 3)))
    skipped = op.Mul(pixels, op.ReduceSum(op.Reshape(Ds, ints(directions, dim)), ints(0), keepdims=0))
    merged = op.Add(op.Add(rows_merged, op.Transpose(columns_merged, perm=[1, 0, 2, 3])), skipped)
    return op.Transpose(merged, perm=[2, 0, 1, 3]), floats(), floats()


def _selective_scan(
    scan: Scan,
    u: ir.Value,
    delta: ir.Value,
    A: ir.Value,
    B: ir.Value,
    C: ir.Value,
    D: ir.Value | None,
    z: ir.Value | None,
    delta_bias: ir.Value | None,
    delta_softplus: bool,
    save_states: bool,
) -> tuple[ir.Value, ...]:
    """`swin_umamba_ext.reference.selective_scan` of float32 data; B and C vary with time and have one group."""
    for coefficient in (B, C):
        if coefficient.shape is None or len(coefficient.shape) != 4 or coefficient.shape[1] != 1:
            raise NotImplementedError("selective_scan with constant B and C or several groups has no ONNX form here")
    if delta_bias is not None:
        delta = op.Add(delta, op.Unsqueeze(delta_bias, ints(1)))
    dt = _softplus(delta) if delta_softplus else delta

    dim, state = _sizes(A)

    # Steps of zero leave the states as they are.
    def by_step(array: ir.Value) -> ir.Value:  # (B, D, L) to (L, B, 1, D)
        return filled_up([op.Unsqueeze(op.Transpose(array, perm=[2, 0, 1]), ints(2))], scan.block(dim))

    first_shape = op.Concat(_part(op.Shape(u), 0, 1), ints(state, dim), axis=0)
    rates = op.Transpose(A, perm=[1, 0])
    rates.shape = ir.Shape([state, dim])
    last, y = scan.run(
        rates,
        op.Expand(floats(0), first_shape),
        by_step(dt),
        by_step(op.Mul(dt, u)),
        filled_up([op.Transpose(B, perm=[3, 0, 2, 1])], scan.block(dim)),
        filled_up([op.Transpose(C, perm=[3, 0, 1, 2])], scan.block(dim)),
    )
    y = op.Slice(y, ints(0), op.Slice(op.Shape(u), ints(2), ints(3), ints(0)), ints(0))
    y = op.Transpose(op.Squeeze(y, ints(2)), perm=[1, 2, 0])
    if D is not None:
        y = op.Add(y, op.Mul(u, op.Unsqueeze(D, ints(1))))
    if z is not None:
        y = op.Mul(y, op.Mul(z, op.Sigmoid(z)))
    return y, op.Transpose(last, perm=[0, 2, 1]), floats()


def _sizes(parameter: ir.Value) -> list[int]:
    assert parameter.shape is not None
    return [int(size) for size in parameter.shape]  # none is open


def _softplus(x: ir.Value) -> ir.Value:
    """``max(x, 0) + log1p(e)`` with ``e = exp(-|x|)``: onnxruntime 1.32 takes 9 ns for a value of ``Softplus``, here 3.

    ``log1p(e)`` is ``log(s)`` of the rounded sum s = 1 + e, and what rounding has lost: e - (s - 1).
    """
    one = floats(1)
    e = op.Exp(op.Neg(op.Abs(x)))
    s = op.Add(e, one)
    return op.Add(op.Relu(x), op.Add(op.Log(s), op.Sub(e, op.Sub(s, one))))


def _turned(sequence: ir.Value, length: ir.Value) -> ir.Value:
    """The first ``length`` of a sequence, from the last to the first."""
    return op.Slice(sequence, op.Sub(length, ints(1)), ints(TO_THE_FIRST), ints(0), ints(-1))


def _part(array: ir.Value, start: int, end: int, axis: int = 0) -> ir.Value:
    return op.Slice(array, ints(start), ints(end), ints(axis))
