#!/usr/bin/env bash
# torch 2.13.0: torch.utils.flop_counter.FlopCounterMode counts nothing for scaled_dot_product_attention on the CPU, with or
# without gradients: the fused CPU kernel is not in its table. The same products written as matmul are counted. So
# nn.MultiheadAttention counts its attention or not by need_weights, and a transformer measured on a CPU looks cheaper
# than it is.
#
# Seen: attention over 64 tokens of width 32: 0 operations by the fused function, 524,288 as two products;
# the layer around it 1,048,576 with need_weights, 524,288 (its projections alone) without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode


def operations(function, *arguments):
    counter = FlopCounterMode(display=False)
    with counter:
        function(*arguments)
    return counter.get_total_flops()


x = torch.randn(1, 1, 64, 32)
layer = torch.nn.MultiheadAttention(32, 1, batch_first=True)
print("torch", torch.__version__)
fused = operations(F.scaled_dot_product_attention, x, x, x)
trained = operations(F.scaled_dot_product_attention, *[x.clone().requires_grad_() for _ in range(3)])
plain = operations(lambda q: (q @ q.mT).softmax(-1) @ q, x)
layers = [operations(lambda q, weights=weights: layer(q, q, q, need_weights=weights), x[0]) for weights in (True, False)]
print(f"scaled_dot_product_attention {fused}, with gradients {trained}, the same as two products {plain}")
print(f"MultiheadAttention with need_weights {layers[0]}, without {layers[1]}")
assert plain == 2 * 2 * 64 * 64 * 32
assert fused == trained == 0, "changed: the fused function is counted"
assert layers[0] - layers[1] == plain, "changed: need_weights makes no difference"
PYTHON
