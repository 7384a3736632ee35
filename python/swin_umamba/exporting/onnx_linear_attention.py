"""The selective scan as opset 27's ``LinearAttention``, a chunk of positions at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnxscript import FLOAT, INT64, graph, ir, opset18, script

from .onnx_blocks import in_blocks, ints, out_of_blocks

OPSET = 27
CHUNK = 32
"""Positions at a time: the operator is given decays, keys and queries of each state, N times dt and x."""

op: Any = opset18  # that of the rest until the model's number is raised


def scan(
    A: ir.Value, first: ir.Value, dt: ir.Value, dtx: ir.Value, B: ir.Value, C: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """What those of `onnx_scans` compute, with the same arguments and results.

    A channel is a head: ``S = exp(g) S + k v`` and ``o = q S`` with decays g = dt A, keys B, values dt x, queries C.
    """
    assert A.shape is not None
    state, dim = (int(size) for size in list(A.shape)[-2:])
    states = op.Unsqueeze(op.Transpose(op.Reshape(first, ints(-1, state, dim)), perm=[0, 2, 1]), ints(3))
    last, y = _scan_chunks(
        A,
        states,
        *(in_blocks(array, CHUNK) for array in (dt, dtx, B, C)),
        op.Constant(value=ir.tensor(np.ones((dim, 1), np.float32))),
        ints(CHUNK, -1, state, dim),
        ints(CHUNK, -1, dim),
        ints(CHUNK, -1, 1, state),
        ints(-1, CHUNK, dim * state),
        heads=dim,
    )
    last = op.Reshape(op.Transpose(op.Squeeze(last, ints(3)), perm=[0, 2, 1]), op.Shape(first))
    return last, out_of_blocks(y, dtx)


@script(default_opset=op)
def _scan_chunks(
    A: FLOAT[...],
    first: FLOAT[...],
    dt: FLOAT[...],
    dtx: FLOAT[...],
    B: FLOAT[...],
    C: FLOAT[...],
    ones: FLOAT[...],
    by_state: INT64[...],
    by_channel: INT64[...],
    by_key: INT64[...],
    packed: INT64[...],
    heads: int,
) -> tuple[FLOAT[...], FLOAT[...]]:
    """Along the first axis; the states are (G, D, N, 1) for all G that is in the axes between."""

    @graph()
    def step(S: FLOAT[...], dt_c: FLOAT[...], dtx_c: FLOAT[...], B_c: FLOAT[...], C_c: FLOAT[...]):
        rates = op.Transpose(op.Reshape(op.Mul(dt_c, A), by_state), perm=[1, 0, 3, 2])
        keys = op.Mul(op.Transpose(op.Reshape(B_c, by_key), perm=[1, 0, 2, 3]), ones)
        queries = op.Mul(op.Transpose(op.Reshape(C_c, by_key), perm=[1, 0, 2, 3]), ones)
        values = op.Transpose(op.Reshape(dtx_c, by_channel), perm=[1, 0, 2])
        y, new = op.LinearAttention(
            op.Reshape(queries, packed),
            op.Reshape(keys, packed),
            values,
            S,
            op.Reshape(rates, packed),
            update_rule="gated",
            q_num_heads=heads,
            kv_num_heads=heads,
            scale=1.0,
        )
        y_c = op.Transpose(y, perm=[1, 0, 2])
        return new, y_c

    last, y = op.Scan(first, dt, dtx, B, C, body=step, num_scan_inputs=4)
    return last, y
