#!/usr/bin/env bash
# torch 2.13.0: the gradient of a custom operator that is registered with torch.library.register_autograd works with
# backward(), and not below torch.func.grad, although it was registered with the setup_context that the message asks for.
#
# Seen: RuntimeError "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it
# must override the setup_context staticmethod". The same two functions as methods of a torch.autograd.Function work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import Tensor

library = torch.library.Library("finding", "DEF")
library.define("cube(Tensor x) -> Tensor")
library.impl("cube", lambda x: x * x * x, "CPU")


def setup_context(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[0])


def backward(ctx, grad: Tensor) -> Tensor:
    return 3 * ctx.saved_tensors[0] ** 2 * grad


torch.library.register_autograd("finding::cube", backward, setup_context=setup_context)


class Cube(torch.autograd.Function):
    forward = staticmethod(lambda x: torch.ops.finding.cube(x))
    setup_context = staticmethod(setup_context)
    backward = staticmethod(backward)


x = torch.tensor([1.0, 2.0])
leaf = x.clone().requires_grad_()
torch.ops.finding.cube(leaf).sum().backward()
print("torch", torch.__version__)
print("backward():", leaf.grad.tolist())
print("torch.func.grad through an autograd.Function:", torch.func.grad(lambda t: Cube.apply(t).sum())(x).tolist())
try:
    torch.func.grad(lambda t: torch.ops.finding.cube(t).sum())(x)
except RuntimeError as error:
    print("torch.func.grad through the registered gradient:", type(error).__name__, str(error).splitlines()[0])
    assert "setup_context" in str(error), "changed: another error"
else:
    raise SystemExit("changed: torch.func.grad goes through the registered gradient")
PYTHON
