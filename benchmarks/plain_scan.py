"""Time and peak memory of the scan in plain torch operations beside mambapy's, on one CPU thread.

    python benchmarks/plain_scan.py [--size D L N] [--repeats 2] [--output benchmarks/results/plain_scan.txt]

Needs mambapy. Every case runs in a process of its own; a time is the best of the repeats, memory is what the process
holds at most above its inputs. Both get the same numbers, and results and gradients are compared.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

OUTPUT = Path(__file__).resolve().parent / "results" / "plain_scan.txt"


def inputs(dim: int, length: int, state: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return {
        "u": normal(1, dim, length),
        "delta": torch.nn.functional.softplus(normal(1, dim, length) - 3),
        "A": -torch.arange(1.0, state + 1).repeat(dim, 1),
        "B": normal(1, state, length),
        "C": normal(1, state, length),
        "D": normal(dim),
    }


def plain(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    from swin_umamba_ext.plain import selective_scan

    return selective_scan(u, delta, A, B, C, D)


def mambapy(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    from mambapy.mamba import MambaBlock

    return MambaBlock.selective_scan(None, u.mT, delta.mT, A, B.mT, C.mT, D).mT


def measure(case: str, backward: bool, size: list[int], repeats: int, folder: Path) -> None:
    """Print what one case takes, as JSON, and save its results."""
    torch.set_num_threads(1)
    tensors = inputs(*size)
    scan = {"plain": plain, "mambapy": mambapy}[case]
    scan(**inputs(8, 64, size[2]))  # imports, and first calls
    leaves = {name: t.requires_grad_(backward) for name, t in tensors.items()}
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        results = None
        start = time.perf_counter()
        out = scan(**leaves)
        results = [out.detach()]
        if backward:
            results += torch.autograd.grad(out.sum(), list(leaves.values()))
        seconds.append(time.perf_counter() - start)
        del out
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
    torch.save(results, folder / f"{case}.pt")
    print(json.dumps({"seconds": min(seconds), "gib": peak / 2**20}))


def difference(folder: Path) -> float:
    """The largest relative error of any result of ours beside mambapy's."""
    ours, theirs = (torch.load(folder / f"{case}.pt") for case in ("plain", "mambapy"))
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=3, type=int, default=[768, 6400, 16], metavar=("D", "L", "N"))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--case", nargs=3, metavar=("CASE", "PASS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        case, which, folder = arguments.case
        measure(case, which == "backward", arguments.size, arguments.repeats, Path(folder))
        return
    size = " x ".join(map(str, arguments.size))
    lines = [
        f"torch {torch.__version__}, mambapy {version('mambapy')}, one thread, D x L x N = {size}, float32",
        f"{'':28}{'plain':>10}{'mambapy':>10}{'ratio':>8}",
    ]
    for which, name in (("forward", "forward"), ("backward", "forward and backward")):
        with tempfile.TemporaryDirectory() as folder:
            seen = {}
            for case in ("plain", "mambapy"):
                command = [sys.executable, __file__, "--repeats", str(arguments.repeats)]
                command += ["--size", *map(str, arguments.size), "--case", case, which, folder]
                seen[case] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for unit, label in (("seconds", "s"), ("gib", "GiB")):
                ours, theirs = (seen[case][unit] for case in ("plain", "mambapy"))
                lines.append(f"{f'{name} ({label})':28}{ours:10.2f}{theirs:10.2f}{theirs / ours:8.1f}")
            lines.append(f"{f'{name}, largest difference':48}{difference(Path(folder)):.1e}")
    text = "\n".join(lines) + "\n"
    arguments.output.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
