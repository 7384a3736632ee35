"""The networks of two builds beside each other, each in the precision that it chooses: speed in turn, and memory.

    python benchmarks/cpu_networks.py speed --former FOLDER
    python benchmarks/cpu_networks.py memory --former FOLDER
    python benchmarks/cpu_networks.py layout
    python benchmarks/cpu_networks.py systems

FOLDER is where `pip install --target FOLDER --no-deps PROJECT` put the former build; the new one is what is installed,
or that of `--new FOLDER`. Writes benchmarks/results/<processor>-<kernels>/cpu_networks_<table>.txt.

speed   each turn is one pass of both sides, in changing order; a ratio is the median of the pairs', with quartiles. The
        new build's "auto" is what `--amp auto` and `predict --precision auto` choose on this processor; a forward pass
        is as in a prediction.
memory  peak of torch's tensors in one training step, above what was there before it, each in a new process.
layout  the new build against itself with contiguous planes in the place of channels-last maps: the weights so, and the
        input of every convolution of PyTorch's.
systems the new build's Swin-UMamba† beside other networks of the new build, itself without scans among them, in one
        precision.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from compare_builds import Build, answer
from cpu import keep_freed_memory, machine, peak_bytes, results_folder

THREADS = 2
FORWARD, STEP = (1, 1, 320, 320), (2, 1, 128, 128)
# What is measured: network, pass, precision of the former build and of the new one.
ROWS = [
    ("swin-umamba", "forward", "float32", "auto"),
    ("swin-umamba", "forward", "float32", "float32"),
    ("swin-umamba-d", "forward", "float32", "auto"),
    ("swin-umamba-d", "forward", "float32", "float32"),
    ("swin-umamba", "step", "float32", "auto"),
    ("swin-umamba", "step", "float32", "float32"),
    ("swin-umamba-d", "step", "float32", "auto"),
    ("swin-umamba-d", "step", "float32", "float32"),
]


def make_call(name: str, what: str, precision: str, layout: str = "") -> Callable[[], object]:
    """One pass of a network, by the build that is imported."""
    import torch
    from swin_umamba import SwinUMamba, SwinUMambaD

    dtype = None
    if precision == "auto":
        from swin_umamba.trainers.precision import autocast_dtype

        dtype = autocast_dtype("auto", torch.device("cpu"))
    elif precision != "float32":
        dtype = getattr(torch, precision)
    torch.manual_seed(0)
    size = FORWARD if what == "forward" else STEP
    network = {"swin-umamba": SwinUMamba, "swin-umamba-d": SwinUMambaD}.get(name)
    if network is None:  # which only later builds have
        from swin_umamba.networks.build import build_model

        model = build_model(name, 1, 14, patch_size=size[2:], deep_supervision=what == "step")
    else:
        model = network(1, 14, deep_supervision=what == "step")
    image = torch.randn(size)
    model.train(what == "step")
    if layout == "planes":
        for module in model.to(memory_format=torch.contiguous_format).modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.register_forward_pre_hook(lambda module, inputs: inputs[0].contiguous())
    if what == "forward" and dtype is not None:
        from swin_umamba.trainers.precision import convert_weights

        convert_weights(model, dtype)

    def autocast() -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if dtype is None else torch.autocast("cpu", dtype)

    def forward() -> object:
        with torch.inference_mode(), autocast():
            return model(image)

    def step() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        with autocast():
            outputs = model(image)
        sum(y.float().square().mean() for y in outputs).backward()

    return forward if what == "forward" else step


def serve() -> None:
    """For every line (arguments of `make_call`, wanted) of the standard input, a line with seconds or bytes."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(THREADS)
    case, call = None, None
    for line in sys.stdin:
        *wanted, quantity = json.loads(line)
        if wanted != case:
            call = None  # frees what it holds
            case, call = wanted, make_call(*wanted)
            call()
            call()
        if quantity == "bytes":
            print(peak_bytes(call), flush=True)
            continue
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, flush=True)


def worker_of(build: Build) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = build.environment | {"GOMP_SPINCOUNT": "4000"}  # as the commands choose
    return subprocess.Popen([sys.executable, __file__, "--worker"], env=environment, **pipes)


class Sides:
    """Two builds, or one twice, each in a process of its own."""

    def __init__(self, *builds: Build) -> None:
        self.builds, self.workers = builds, [worker_of(build) for build in builds]

    def ask(self, side: int, *case: str) -> float:
        worker = self.workers[side]
        worker.stdin.write(json.dumps(case) + "\n")
        worker.stdin.flush()
        return float(answer(self.builds[side], worker, worker.stdout.readline()))

    def pairs(self, cases: tuple[tuple[str, ...], tuple[str, ...]], seconds: float) -> list[tuple[float, float]]:
        """Seconds of the sides, in turn."""
        for side, case in enumerate(cases):
            self.ask(side, *case, "seconds")
        pairs = []
        end = time.perf_counter() + seconds
        while len(pairs) < 7 or time.perf_counter() < end:
            pair = [0.0, 0.0]
            for side in (0, 1) if len(pairs) % 2 else (1, 0):
                pair[side] = self.ask(side, *cases[side], "seconds")
            pairs.append((pair[0], pair[1]))
        return pairs

    def close(self) -> None:
        for worker in self.workers:
            worker.stdin.close()
            worker.wait()


def cells(pairs: list[tuple[float, float]]) -> str:
    first, second = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
    low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
    return f"{first:6.0f} | {second:6.0f} | {middle:.2f}x ({low:.2f} to {high:.2f})"


def speed(former: Build, new: Build, seconds: float, only: str) -> Iterator[str]:
    yield "pass, former precision, new precision | former ms | new ms | times as fast, median (quartiles)"
    sides = Sides(former, new)
    for name, what, before, after in ROWS:
        size = "×".join(map(str, FORWARD if what == "forward" else STEP))
        label = f"{name}, {what} {size}, {before}, {after}"
        if label.startswith(only):
            yield f"{label} | {cells(sides.pairs(((name, what, before), (name, what, after)), seconds))}"
    sides.close()


def systems(build: Build, seconds: float, only: str) -> Iterator[str]:
    yield f"forward {'×'.join(map(str, FORWARD))}, precision | other ms | swin-umamba-d ms | times as fast"
    sides = Sides(build, build)
    for name in ("nnunet", "swinunetr", "umamba-bot", "umamba-enc", "swin-umamba-d-noscan"):
        for precision in ("float32", "auto"):
            cases = (name, "forward", precision), ("swin-umamba-d", "forward", precision)
            if f"{name}, {precision}".startswith(only):
                yield f"{name}, {precision} | {cells(sides.pairs(cases, seconds))}"
    sides.close()


def memory(former: Build, new: Build) -> Iterator[str]:
    def peak(build: Build, *case: str) -> str:
        sides = Sides(build)
        size = sides.ask(0, *case, "bytes")
        sides.close()
        return f"{size / 2**20:.0f}"

    yield "training step " + "×".join(map(str, STEP)) + " | former float32 MiB | new float32 MiB | new auto MiB"
    for name in ("swin-umamba", "swin-umamba-d"):
        case = (name, "step")
        sizes = [peak(former, *case, "float32"), peak(new, *case, "float32"), peak(new, *case, "auto")]
        yield f"{name} | {' | '.join(sizes)}"


def layout(build: Build, seconds: float, only: str) -> Iterator[str]:
    yield "pass, precision | planes ms | channels last ms | times as fast, median (quartiles)"
    sides = Sides(build, build)
    for name in ("swin-umamba", "swin-umamba-d"):
        for what in ("forward", "step"):
            for precision in ("float32", "bfloat16"):
                case = (name, what, precision)
                if ", ".join(case).startswith(only):
                    yield f"{', '.join(case)} | {cells(sides.pairs(((*case, 'planes'), case), seconds))}"
    sides.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", nargs="?", choices=("speed", "memory", "layout", "systems"), default="speed")
    parser.add_argument("--former", type=Path)
    parser.add_argument("--new", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each row")
    parser.add_argument("--only", default="", help="rows that start so, 'swin-umamba, step', added to the file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return serve()
    if arguments.table in ("speed", "memory") and arguments.former is None:
        parser.error(f"{arguments.table} needs --former FOLDER")
    new = Build("new", arguments.new)
    seconds, only = arguments.seconds, arguments.only
    command = f"python benchmarks/cpu_networks.py {arguments.table}" + f" --only '{only}'" * bool(only)
    header = f"{command}\n{machine()}, {THREADS} threads\n"
    if arguments.table in ("layout", "systems"):
        rows = {"layout": layout, "systems": systems}[arguments.table](new, seconds, only)
    else:
        former = Build("former", arguments.former)
        rows = memory(former, new) if arguments.table == "memory" else speed(former, new, seconds, only)
    lines = []
    for line in chain([header], rows):
        lines.append(line)
        print(line, flush=True)
    results_folder().mkdir(parents=True, exist_ok=True)
    path = results_folder() / f"cpu_networks_{arguments.table}.txt"
    with path.open("a" if only else "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n" * (1 + bool(only)))


if __name__ == "__main__":
    main()
