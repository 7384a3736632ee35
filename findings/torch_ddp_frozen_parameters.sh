#!/usr/bin/env bash
# torch 2.13.0, gloo: freezing parameters after DistributedDataParallel was made, with the default
# find_unused_parameters=False. The first step afterwards raises nothing, but its gradients are not averaged: every
# process has its own, and an optimizer would make the copies of the network differ. The second step ends in a RuntimeError.
# With find_unused_parameters=True both steps have equal gradients.
#
# Seen, two processes: after freezing, gradients of the two differ in the first step and the second step fails.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/freeze.py" <<'PYTHON'
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

unused = sys.argv[1] == "True"
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
parallel = DistributedDataParallel(network, find_unused_parameters=unused)


def step():
    network.zero_grad(set_to_none=True)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(rank))
    parallel(x).square().sum().backward()
    mine = network[2].weight.grad.clone()
    gathered = [torch.empty_like(mine) for _ in range(2)]
    dist.all_gather(gathered, mine)
    return "equal" if torch.equal(*gathered) else "different"


seen = [step()]
network[0].requires_grad_(False)
for _ in range(2):
    try:
        seen.append(step())
    except RuntimeError:
        seen.append("RuntimeError")
if rank == 0:
    print(f"find_unused_parameters={unused}, gradients of the processes: whole, frozen, frozen:", *seen)
expected = ["equal"] * 3 if unused else ["equal", "different", "RuntimeError"]
dist.barrier()
dist.destroy_process_group()
assert seen == expected, f"changed: {seen}"
PYTHON
cd "$folder"
"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
for unused in False True; do
  OMP_NUM_THREADS=1 "$folder/venv/bin/torchrun" --standalone --nproc-per-node 2 freeze.py "$unused" 2> errors.txt || {
    cat errors.txt
    exit 1
  }
done
