"""`train.py` on the sample by this build and a former one, in turn: time, peak memory and the scores of both.

    python benchmarks/train_command.py --former FOLDER

Writes benchmarks/results/<processor>-<kernels>/train_command.txt. FOLDER holds the former packages, as
`pip install --target FOLDER --no-deps PROJECT` puts them there. Compiling is left out; imports, the data set, the
prediction of held-out slices, their scores and pictures are not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from cpu import machine, results_folder
from predict_command import run

SCRIPT = "import sys; from swin_umamba.train import main; sys.exit(main())"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--former", type=Path, required=True, help="folder with the packages of the former build")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("options", nargs=argparse.REMAINDER, help="for both trainings, after --")
    arguments = parser.parse_args()
    options = [word for word in arguments.options if word != "--"]
    builds = {"former": {"PYTHONPATH": str(arguments.former.resolve())}, "this": {}}
    lines = [
        f"python benchmarks/train_command.py --rounds {arguments.rounds} {' '.join(arguments.options)}".rstrip(),
        f"{machine()}, {len(os.sched_getaffinity(0))} processors for each",
        "",
        "build    round   seconds  of processor  peak MiB  mean DSC",
    ]
    print("\n".join(lines), flush=True)
    found: dict[str, list[float]] = {name: [] for name in builds}
    for number in range(arguments.rounds):
        for build, environment in builds.items():
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-c", SCRIPT, "--output", folder, *options]
                seconds, processor, peak = run(command, environment)
                score = json.loads((Path(folder) / "metrics.json").read_text())["held_out"]["dsc"]["mean"]
            found[build].append(seconds)
            lines.append(f"{build:8} {number + 1:5} {seconds:9.1f} {processor:13.1f} {peak:9.0f} {score:9.4f}")
            print(lines[-1], flush=True)
    ratio = statistics.median(new / old for old, new in zip(found["former"], found["this"], strict=True))
    lines += ["", f"this takes {ratio:.2f} of the former time"]
    print(lines[-1], flush=True)
    results_folder().mkdir(parents=True, exist_ok=True)
    (results_folder() / "train_command.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
