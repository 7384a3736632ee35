"""Sequences cut into blocks of as many positions, as nodes of ONNX, and constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnxscript import ir, opset18

op: Any = opset18
ALL = 2**31


def length_of(array: ir.Value) -> ir.Value:
    """Of the first axis, as an axis of one."""
    return op.Slice(op.Shape(array), ints(0), ints(1), ints(0))


def filled_up(sequences: Sequence[ir.Value], size: int) -> ir.Value:
    """Sequences (L, ...) one after another, zeros after each so that its length is a multiple of ``size``."""
    missing = op.Mod(op.Neg(length_of(sequences[0])), ints(size))
    zeros = op.Expand(floats(0), op.Concat(missing, _rest(sequences[0]), axis=0))
    return op.Concat(*(array for sequence in sequences for array in (sequence, zeros)), axis=0)


def in_blocks(array: ir.Value, size: int) -> ir.Value:
    """(L, ...) to (L / size, size, ...)."""
    return op.Reshape(array, op.Concat(ints(-1, size), _rest(array), axis=0))


def out_of_blocks(blocks: ir.Value, like: ir.Value) -> ir.Value:
    """Blocks to the shape of ``like``."""
    return op.Reshape(blocks, op.Shape(like))


def ints(*values: int) -> ir.Value:
    """A constant, int64 of one axis."""
    return _constant(values, np.int64)


def floats(*values: float) -> ir.Value:
    """A constant, float32 of one axis."""
    return _constant(values, np.float32)


def _constant(values: Sequence[float], dtype: type) -> ir.Value:
    return op.Constant(value=ir.tensor(np.array(values, dtype=dtype)))


def _rest(array: ir.Value) -> ir.Value:
    return op.Slice(op.Shape(array), ints(1), ints(ALL), ints(0))
