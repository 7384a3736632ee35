#!/usr/bin/env bash
# torch 2.13.0, CPU: the gradients of torch.nn.functional.instance_norm are wrong for a batch of one image whose incoming
# gradient lies channels last in memory. Batches of two, and contiguous gradients, are right.
#
# Seen: relative errors of the gradients of input, weight and bias of 1.3, 2.1 and 2, where a batch of two has none.
# Whoever trains a network with instance norm and batch size 1 in torch.channels_last meets it: no error, no warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import torch.nn.functional as F


def gradients(batch: int, layout: torch.memory_format) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 8, 9, 7, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, generator=rng, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(8, generator=rng, dtype=torch.float64, requires_grad=True)
    incoming = torch.randn(batch, 8, 9, 7, generator=rng, dtype=torch.float64)
    y = F.instance_norm(x, weight=weight, bias=bias)
    return torch.autograd.grad(y, (x, weight, bias), incoming.contiguous(memory_format=layout))


print("torch", torch.__version__)
errors = {}
for batch in (1, 2):
    pairs = zip(gradients(batch, torch.channels_last), gradients(batch, torch.contiguous_format), strict=True)
    errors[batch] = [((a - b).abs().max() / b.abs().max()).item() for a, b in pairs]
    print(f"batch {batch}: channels-last gradient against contiguous, input, weight, bias:",
          " ".join(f"{error:.2g}" for error in errors[batch]))
assert all(error > 0.1 for error in errors[1]), "changed: the gradients of one image are right"
assert all(error < 1e-9 for error in errors[2]), "changed: the gradients of two images are wrong"
PYTHON
