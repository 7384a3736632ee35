#!/usr/bin/env bash
# openvino 2026.4.1, CPU, with INFERENCE_PRECISION_HINT f32: the result of an ONNX Scan whose step is
# state = decay * state + update depends on the order of the operands of the product. Mul(state, decay) is right;
# Mul(decay, state) gives, without an error, values that are right in the first step only.
# onnxruntime 1.32.0 gives the definition's values for both, and the two models differ in nothing else.
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

STEPS, WIDTH = 12, 8


def info(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(factors):
    step = helper.make_graph(
        [helper.make_node("Mul", factors, ["kept"]), helper.make_node("Add", ["kept", "update"], ["next"]),
         helper.make_node("Identity", ["next"], ["output"])],
        "step",
        [info("state", WIDTH), info("decay", WIDTH), info("update", WIDTH)],
        [info("next", WIDTH), info("output", WIDTH)],
    )
    scan = helper.make_node("Scan", ["start", "decays", "updates"], ["last", "y"], body=step, num_scan_inputs=2)
    graph = helper.make_graph(
        [scan], "recurrence",
        [info("start", WIDTH), info("decays", STEPS, WIDTH), info("updates", STEPS, WIDTH)],
        [info("last", WIDTH), info("y", STEPS, WIDTH)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(made)
    return made


rng = np.random.default_rng(0)
start = np.zeros(WIDTH, np.float32)
decays = rng.uniform(0.5, 1, (STEPS, WIDTH)).astype(np.float32)
updates = rng.standard_normal((STEPS, WIDTH)).astype(np.float32)
wanted, state = [], start.astype(np.float64)
for decay, update in zip(decays, updates, strict=True):
    state = decay * state + update
    wanted.append(state)
inputs = {"start": start, "decays": decays, "updates": updates}
print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__)
errors = {}
for factors in (["state", "decay"], ["decay", "state"]):
    name = f"{factors[0]}_{factors[1]}.onnx"
    onnx.save(model(factors), name)
    session = onnxruntime.InferenceSession(name, providers=["CPUExecutionProvider"])
    theirs = session.run(["y"], inputs)[0]
    compiled = openvino.Core().compile_model(name, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    y = compiled(inputs)[compiled.output("y")]
    each = np.abs(y - wanted).max(1)
    errors[factors[0]] = each
    print(f"Mul({', '.join(factors)}): largest error onnxruntime {np.abs(theirs - wanted).max():.1e}, OpenVINO first step "
          f"{each[0]:.1e}, all {each.max():.1e}")
    assert np.abs(theirs - wanted).max() < 1e-5
assert errors["state"].max() < 1e-5, "changed: Mul(state, decay) is wrong"
assert errors["decay"][0] < 1e-5 < 1e-2 < errors["decay"].max(), "changed: Mul(decay, state) is right"
PYTHON
