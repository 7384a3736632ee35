#!/usr/bin/env bash
# huggingface_hub 2.4.0: PyTorchModelHubMixin leaves arguments of a network that JSON cannot hold, such as the class of an
# activation or of a norm, out of config.json without a word; from_pretrained then takes the default of that argument. The
# weights fit, since activations have none, so that the network loads and computes something else. Tuples come back as lists.
#
# Seen: saved with act=nn.Tanh and sizes=(3, 4), loaded with nn.GELU and [3, 4]; outputs differ by 0.1 and more.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 huggingface_hub==2.4.0 safetensors numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json

import huggingface_hub
import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn


class Network(nn.Module, PyTorchModelHubMixin):
    def __init__(self, width: int = 4, act: type[nn.Module] = nn.GELU, sizes: tuple[int, ...] = (1, 2)):
        super().__init__()
        self.linear, self.act, self.sizes = nn.Linear(width, width), act(), sizes

    def forward(self, x):
        return self.act(self.linear(x))


torch.manual_seed(0)
saved = Network(width=3, act=nn.Tanh, sizes=(3, 4))
saved.save_pretrained("network")
config = json.load(open("network/config.json"))
loaded = Network.from_pretrained("network")
x = torch.randn(8, 3)
difference = (saved(x) - loaded(x)).abs().max().item()
print("huggingface_hub", huggingface_hub.__version__, "config:", config, "loaded:", loaded.act, loaded.sizes)
print(f"largest difference of the outputs: {difference:.3g}")
assert torch.equal(saved.linear.weight, loaded.linear.weight)
assert "act" not in config and isinstance(loaded.act, nn.GELU), "changed: the class is kept or refused"
assert loaded.sizes == [3, 4], "changed: a tuple comes back as a tuple"
assert difference > 0.1
PYTHON
