"""How long this package lets one wait before it does anything: imports, and the help of every command.

    python benchmarks/starts.py [--repeats 15] [--output benchmarks/results/MACHINE/starts.txt]

Helps are measured beside Python that prints a help by argparse alone, the import of a network beside that of the
operators. All are started in turn, each in a process of its own; a time is the median. ``swin-umamba`` is the one
beside this Python.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from swin_umamba.commands.cli import COMMANDS

SCRIPT = str(Path(sys.executable).with_name("swin-umamba"))
ALONE = "python with argparse alone"
OPERATORS = "import swin_umamba_ext"
HELPS = {
    ALONE: [sys.executable, "-c", "import argparse; argparse.ArgumentParser().print_help()"],
    "swin-umamba --help": [SCRIPT, "--help"],
    **{f"swin-umamba {name} --help": [SCRIPT, name, "--help"] for name in COMMANDS},
}
# An installation has its bytecode.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
IMPORTS = {
    OPERATORS: [sys.executable, "-c", "import swin_umamba_ext"],
    "swin_umamba.SwinUMambaD": [sys.executable, "-c", "import swin_umamba; swin_umamba.SwinUMambaD"],
}


def medians(starts: Mapping[str, Sequence[str]], repeats: int) -> dict[str, float]:
    """Median seconds of each, started in turn, after a first turn that fills the caches."""
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    for turn in range(repeats + 1):
        for name, words in starts.items():
            began = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="starts of each (default: 15)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the table here")
    args = parser.parse_args()
    lines = [f"Python {sys.version.split()[0]}, torch {version('torch')}, median of {args.repeats} starts in turn"]
    for starts in (HELPS, IMPORTS):
        times = medians(starts, args.repeats)
        base = times[next(iter(starts))]
        lines += [f"{name:32}{1e3 * took:8.0f} ms {took / base:6.2f}" for name, took in times.items()]
    print("\n".join(lines))
    if args.output is not None:
        args.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
