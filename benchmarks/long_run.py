"""A long training of the sample: does every loss stay finite, and does memory stay where it is?

    python benchmarks/long_run.py bfloat16      # 2,000 steps, 10 minutes and more
    python benchmarks/long_run.py off           # which is float32

Writes benchmarks/results/<processor>-<kernels>/long_run_<precision>.txt: for every 20 steps the mean loss of training
and validation, and the resident memory of `swin-umamba train` at their end. Ends with 1 where a loss or a trained
weight is not finite, or where memory after step 200 is not within 2 % of its median. Whatever is not finite in a step,
loss, gradient or weight, is in all losses that follow.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from cpu import machine, results_folder
from swin_umamba.checkpoints import read_checkpoint

EPOCH = 20
SETTLED = 200
TOLERANCE = 0.02
TRAIN = "import sys; from swin_umamba.commands import cli; sys.exit(cli.main(sys.argv[1:]))"


def resident(process: int) -> float:
    """MiB of a process that are in memory."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def train(precision: str, steps: int, patch: int, output: Path) -> list[float]:
    """Resident MiB at the end of each epoch."""
    said = ["--amp", precision, "--epochs", steps // EPOCH, "--iterations", EPOCH, "--patch-size", patch, patch]
    command = [sys.executable, "-c", TRAIN, "train", *map(str, said), "--device", "cpu", "--output", str(output)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    memory = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.match(r"epoch \d+/", line):
                memory.append(resident(process.pid))
    if process.returncode:
        sys.exit(f"the training ended with {process.returncode}")
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("precision", choices=["off", "bfloat16"])
    parser.add_argument("--steps", type=int, default=2000, help="a multiple of 20, more than 220")
    parser.add_argument("--patch", type=int, default=64, help="height and width of the training patches")
    arguments = parser.parse_args()
    lines = [
        f"python benchmarks/long_run.py {arguments.precision} --steps {arguments.steps} --patch {arguments.patch}",
        f"{machine()}, {torch.get_num_threads()} threads",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        memory = train(arguments.precision, arguments.steps, arguments.patch, output)
        record = json.loads((output / "metrics.json").read_text())
        weights = read_checkpoint(output / "checkpoint.pth")["network_weights"].values()
        finite = all(bool(torch.isfinite(weight).all()) for weight in weights)

    training, validation = record["training"]["train_loss"], record["training"]["validation_loss"]
    settled = memory[SETTLED // EPOCH :]
    middle = statistics.median(settled)
    spread = max(abs(value - middle) for value in settled) / middle
    lines.append(f"{'step':>5} {'loss':>9} {'validation':>11} {'MiB':>7}")
    rows = zip(training, validation, memory, strict=True)
    lines += [f"{EPOCH * n:5} {a:9.4f} {b:11.4f} {mib:7.0f}" for n, (a, b, mib) in enumerate(rows, 1)]
    finite = finite and bool(torch.isfinite(torch.tensor(training + validation)).all())
    lines += [
        "",
        f"every loss and every trained weight finite: {'yes' if finite else 'no'}",
        f"resident memory after step {SETTLED}: {min(settled):.0f} to {max(settled):.0f} MiB, "
        f"at most {spread:.2%} from its median",
        f"mean DSC of the held-out cases: {record['held_out']['dsc']['mean']:.3f}",
    ]
    print("\n".join(lines[-3:]))
    results_folder().mkdir(parents=True, exist_ok=True)
    name = {"off": "float32"}.get(arguments.precision, arguments.precision)
    (results_folder() / f"long_run_{name}.txt").write_text("\n".join(lines) + "\n")
    if not finite or spread > TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    main()
