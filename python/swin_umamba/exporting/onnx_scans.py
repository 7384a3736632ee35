"""The recurrence of the selective scan as ONNX's ``Scan`` and elementwise operators: step by step, or by blocks.

Both compute ``h = h * exp(dt A) + B (dt x)`` and ``y = C h`` along the first axis, for all that is in the axes between.
Without it A and the states h are (..., N, D), dt, dt x and y (..., 1, D), B (..., N, 1) and C (..., 1, N).
"""

from __future__ import annotations

from typing import Any

from onnxscript import FLOAT, graph, ir, opset18, script

from .onnx_blocks import in_blocks, out_of_blocks

op: Any = opset18  # its types are those of values in a script
BLOCK = 64 * 192
"""Positions times channels of a block, 64 positions at most: 3 MB of float32 with 16 states and four directions."""


def by_blocks(
    A: ir.Value, first: ir.Value, dt: ir.Value, dtx: ir.Value, B: ir.Value, C: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """A block at a time what does not follow on another step: onnxruntime divides that among threads.

    A Scan in a Scan, which OpenVINO 2026.4 refuses.
    """
    size = block_size(int(list(A.shape or ())[-1]))
    last, y = _blocks(A, first, *(in_blocks(array, size) for array in (dt, dtx, B, C)))
    return last, out_of_blocks(y, dtx)


def block_size(channels: int) -> int:
    """Of `by_blocks`, in positions."""
    return max(8, min(64, BLOCK // channels))


@script(default_opset=op)
def _blocks(
    A: FLOAT[...], first: FLOAT[...], dt: FLOAT[...], dtx: FLOAT[...], B: FLOAT[...], C: FLOAT[...]
) -> tuple[FLOAT[...], FLOAT[...]]:
    @graph()
    def block(h: FLOAT[...], dt_b: FLOAT[...], dtx_b: FLOAT[...], B_b: FLOAT[...], C_b: FLOAT[...]):
        decays = op.Exp(op.Mul(dt_b, A))
        updates = op.Mul(B_b, dtx_b)

        @graph()
        def step(h_t: FLOAT[...], decay: FLOAT[...], update: FLOAT[...]):
            new = op.Add(op.Mul(h_t, decay), update)
            state = op.Identity(new)
            return new, state

        last_b, states = op.Scan(h, decays, updates, body=step, num_scan_inputs=2)
        y_b = op.MatMul(C_b, states)
        return last_b, y_b

    last, y = op.Scan(first, dt, dtx, B, C, body=block, num_scan_inputs=4)
    return last, y


@script(default_opset=op)
def by_steps(
    A: FLOAT[...], first: FLOAT[...], dt: FLOAT[...], dtx: FLOAT[...], B: FLOAT[...], C: FLOAT[...]
) -> tuple[FLOAT[...], FLOAT[...]]:
    """A single Scan, for OpenVINO."""

    @graph()
    def step(h: FLOAT[...], dt_t: FLOAT[...], dtx_t: FLOAT[...], B_t: FLOAT[...], C_t: FLOAT[...]):
        # The state first: OpenVINO 2026.4 is silently wrong with the factors exchanged.
        kept = op.Mul(h, op.Exp(op.Mul(dt_t, A)))
        new = op.Add(kept, op.Mul(B_t, dtx_t))
        y_t = op.MatMul(C_t, new)
        return new, y_t

    last, y = op.Scan(first, dt, dtx, B, C, body=step, num_scan_inputs=4)
    return last, y
