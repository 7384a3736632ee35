#!/usr/bin/env bash
# openvino 2026.4.1, CPU: two valid forms of an ONNX Scan are refused that onnx 1.23.2's full check and onnxruntime 1.32.0 take: a body
# whose inputs declare no types (ONNX infers them from the Scan's own inputs) fails when it is compiled, with a message about memory,
# and a body that uses a value of the graph around it fails when it is read, as if an input of the Scan were missing.
#
# Seen: "Memory has not been allocated"; "Number of Scan node inputs (3) is less than required (4)". With types and without outer
# values the same recurrence runs and equals onnxruntime's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

STEPS, WIDTH = 5, 8


def typed(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def untyped(name, *_):
    return helper.make_empty_tensor_value_info(name)


def write(path, info, outer):
    """state = factor * (decay * state + update), with the factor a value of the graph around the body or left out."""
    last = helper.make_node("Mul", ["sum", "factor"], ["next"]) if outer else helper.make_node("Identity", ["sum"], ["next"])
    body = helper.make_graph(
        [helper.make_node("Mul", ["state", "decay"], ["kept"]), helper.make_node("Add", ["kept", "update"], ["sum"]), last,
         helper.make_node("Identity", ["next"], ["output"])],
        "step", [info("state", WIDTH), info("decay", WIDTH), info("update", WIDTH)],
        [typed("next", WIDTH), typed("output", WIDTH)],
    )
    scan = helper.make_node("Scan", ["start", "decays", "updates"], ["last", "y"], body=body, num_scan_inputs=2)
    inputs = [typed("start", WIDTH), typed("decays", STEPS, WIDTH), typed("updates", STEPS, WIDTH)]
    graph = helper.make_graph([scan], "recurrence", inputs + [typed("factor", WIDTH)] * outer,
                              [typed("last", WIDTH), typed("y", STEPS, WIDTH)])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)


seen = {}
print("openvino", openvino.__version__, "onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
for name, info, outer in (("plain", typed, False), ("untyped", untyped, False), ("outer", typed, True)):
    inputs = {"start": np.ones(WIDTH, np.float32), "decays": np.full((STEPS, WIDTH), 0.5, np.float32),
              "updates": np.ones((STEPS, WIDTH), np.float32)} | ({"factor": np.full(WIDTH, 2, np.float32)} if outer else {})
    write(f"{name}.onnx", info, outer)
    theirs = onnxruntime.InferenceSession(f"{name}.onnx", providers=["CPUExecutionProvider"]).run(["y"], inputs)[0][:, 0]
    assert theirs.tolist() == ([3, 5, 7, 9, 11] if outer else [1.5, 1.75, 1.875, 1.9375, 1.96875])
    try:
        network = openvino.Core().compile_model(f"{name}.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        seen[name] = network(inputs)[network.output("y")][:, 0].tolist()
    except RuntimeError as error:
        seen[name] = " ".join(str(error).split())
    print(f"{name:9}onnxruntime {theirs.tolist()}, openvino {str(seen[name])[-150:]}")
assert seen["plain"] == [1.5, 1.75, 1.875, 1.9375, 1.96875]
assert "Memory has not been allocated" in seen["untyped"], "changed: a body without types"
assert "is less than required (4)" in seen["outer"], "changed: a body with outer values"
PYTHON
