"""Two builds of this project beside each other: the same bits, and not slower.

    python benchmarks/compare_builds.py --former FOLDER            # bits: exit status 1 if an array differs
    python benchmarks/compare_builds.py --former FOLDER --speed

FOLDER is where `pip install --target FOLDER --no-deps PROJECT` put the former build; the new one is what is installed,
or that of `--new FOLDER`. The same folder for both shows how far two measurements of one build are apart.

Bits
----
Outputs and gradients of the scans for random problems (odd sizes, all optional arguments, all dtypes) and of both
networks (also their first parameters), on every instruction set of the machine, with one thread and with two.

Speed
-----
operators  forward, backward, and both in turn at the sizes of the networks' four stages, one thread; selective_scan
           also with 8 states. Each turn is a pair of both builds, in changing order; the ratio is the median of the
           pairs' over several processes of each. Seconds are those of the processor, which others disturb least.
start      `import swin_umamba_ext` and `swin-umamba --help` in turn: wall time, and seconds of the processor. How a
           package is installed takes part of it: install both builds into folders.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from cpu import STAGES, STATE, keep_freed_memory, processor, scan_tensors, ss2d_tensors
from torch import Tensor

import swin_umamba_ext
from swin_umamba_ext import library

Function = Callable[..., "Tensor | tuple[Tensor, ...]"]
Arguments = list["Tensor | None"]
T = TypeVar("T")
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 64, 65, 100]
LENGTHS = [*SIZES, 63, 129, 200, 511, 1000]
IMAGES = [(1, 1), (80, 80), (3, 257), (257, 3), (11, 12), (40, 41)]
THREADS = [1, 2]
EIGHT_STATES = "selective_scan of 8 states"
ROUNDS, TURNS, TURN_SECONDS = 4, 8, 0.04
STARTS = 20


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def scan_problem(pick: random.Random, dtype: torch.dtype) -> tuple[str, Function, Arguments]:
    batch, groups, channels = pick.choice([1, 2]), pick.choice([1, 2, 3, 4]), pick.choice(SIZES)
    length, state = pick.choice(LENGTHS), pick.choice([1, 2, 3, 4, 7, 16, 17, 40])
    named = {name: pick.random() < 0.5 for name in ("constant B", "constant C", "D", "z", "bias", "softplus", "state")}
    dim, generator = groups * channels, torch.Generator().manual_seed(pick.randrange(2**31))
    parameter = torch.float64 if dtype == torch.float64 else torch.float32

    def sequence() -> Tensor:
        return normal(generator, batch, dim, length).to(dtype)

    def matrix(constant: bool) -> Tensor:
        if constant:
            return normal(generator, dim, state).to(parameter)
        return normal(generator, batch, groups, state, length).to(dtype)

    def vector() -> Tensor:
        return normal(generator, dim).to(parameter)

    step = sequence() if named["softplus"] else (sequence().abs() * 0.3).to(dtype)
    arguments = [sequence(), step, -normal(generator, dim, state).exp().to(parameter)]
    arguments += [matrix(named["constant B"]), matrix(named["constant C"])]
    arguments += [vector() if named["D"] else None, sequence() if named["z"] else None]
    arguments += [vector().abs() * 0.1 if named["bias"] else None]
    options = {"delta_softplus": named["softplus"], "return_last_state": named["state"]}
    given = ", ".join(name for name, value in named.items() if value)
    name = f"batch {batch} groups {groups} channels {channels} length {length} state {state}: {given}"
    return name, lambda *tensors: swin_umamba_ext.selective_scan(*tensors, **options), arguments


def image_size(pick: random.Random) -> tuple[int, int]:
    return pick.choice(IMAGES) if pick.random() < 0.2 else (pick.choice(SIZES), pick.choice(SIZES))


def ss2d_problem(pick: random.Random, dtype: torch.dtype) -> tuple[str, Function, Arguments]:
    (height, width), batch, dim = image_size(pick), pick.choice([1, 2]), pick.choice(SIZES)
    rank, state = pick.choice([1, 2, 3, 6, 8]), pick.choice([1, 5, 16, 17])
    generator = torch.Generator().manual_seed(pick.randrange(2**31))
    x = normal(generator, batch, height, width, dim).to(dtype)
    parameters = [
        normal(generator, 4, rank + 2 * state, dim) * dim**-0.5,
        normal(generator, 4, dim, rank) * rank**-0.5,
        normal(generator, 4, dim) - 2,
        normal(generator, 4 * dim, state),
        normal(generator, 4 * dim),
    ]
    parameter = torch.float64 if dtype == torch.float64 else torch.float32
    name = f"batch {batch} image {height}x{width} dim {dim} rank {rank} state {state}"
    return name, swin_umamba_ext.ss2d, [x, *(p.to(parameter) for p in parameters)]


def cross_scan_problem(pick: random.Random, dtype: torch.dtype) -> tuple[str, Function, Arguments]:
    shape = (pick.choice([1, 2]), pick.choice(SIZES), *image_size(pick))
    x = normal(torch.Generator().manual_seed(pick.randrange(2**31)), *shape).to(dtype)
    return f"shape {shape}", swin_umamba_ext.cross_scan, [x]


def cross_merge_problem(pick: random.Random, dtype: torch.dtype) -> tuple[str, Function, Arguments]:
    (height, width), shape = image_size(pick), (pick.choice([1, 2]), 4, pick.choice(SIZES))
    y = normal(torch.Generator().manual_seed(pick.randrange(2**31)), *shape, height * width).to(dtype)
    return f"shape {shape} image {height}x{width}", lambda y: swin_umamba_ext.cross_merge(y, height, width), [y]


OPERATORS = {
    "cross_scan": cross_scan_problem,
    "cross_merge": cross_merge_problem,
    "selective_scan": scan_problem,
    "ss2d": ss2d_problem,
}


def digest(array: Tensor | None) -> str:
    if array is None:
        return "none"
    array = array.detach().contiguous()
    what = f"{array.dtype} {tuple(array.shape)}".encode()
    return hashlib.blake2b(array.view(-1).view(torch.uint8).numpy().tobytes() + what, digest_size=12).hexdigest()


def differentiate(outputs: Tensor | tuple[Tensor, ...], inputs: list[Tensor]) -> dict[str, Tensor | None]:
    """The outputs and the gradients of a fixed projection of them."""
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    generator = torch.Generator().manual_seed(1)
    weights = [normal(generator, *y.shape).to(y.dtype) for y in outputs]
    gradients = torch.autograd.grad(outputs, inputs, weights, allow_unused=True)
    return {f"output {i}": y for i, y in enumerate(outputs)} | {f"gradient {i}": g for i, g in enumerate(gradients)}


def operator_digests(problems: int) -> Iterator[tuple[str, str]]:
    for operator, problem in OPERATORS.items():
        for dtype in DTYPES:
            for number in range(problems):
                name, function, arguments = problem(random.Random(f"{operator} {dtype} {number}"), dtype)
                arguments = [None if a is None else a.requires_grad_() for a in arguments]
                results = differentiate(function(*arguments), [a for a in arguments if a is not None])
                with torch.no_grad():  # keeps no states
                    alone = function(*arguments)
                results["output alone"] = alone if isinstance(alone, Tensor) else alone[0]
                for what, array in results.items():
                    yield f"{operator} {dtype} {number} ({name}): {what}", digest(array)


def network_digests() -> Iterator[tuple[str, str]]:
    from swin_umamba import SwinUMamba, SwinUMambaD

    for network in (SwinUMamba, SwinUMambaD):
        torch.manual_seed(0)
        model = network(in_channels=1, num_classes=3, deep_supervision=True).train()
        parameters = dict(model.named_parameters())
        for name, parameter in parameters.items():
            yield f"{network.__name__}: first {name}", digest(parameter)
        for size in ((2, 1, 64, 64), (1, 1, 70, 45)):
            x = torch.randn(size).requires_grad_()
            torch.manual_seed(1)  # of stochastic depth
            results = differentiate(tuple(model(x)), [x, *parameters.values()])
            names = {f"gradient {i}": f"gradient of {name}" for i, name in enumerate(["input", *parameters])}
            for what, array in results.items():
                yield f"{network.__name__} {size}: {names.get(what, what)}", digest(array)


def print_digests(threads: int, problems: int) -> None:
    torch.set_num_threads(threads)
    json.dump(dict(operator_digests(problems)) | dict(network_digests()), sys.stdout)


def speed_call(operator: str, what: str, dtype: str, stage: int) -> Callable[[], object]:
    (height, width, dim), generator = STAGES[stage], torch.Generator().manual_seed(0)
    data = getattr(torch, dtype)
    if operator == "ss2d":
        x, *parameters = ss2d_tensors(1, height, width, dim)
        function, inputs = swin_umamba_ext.ss2d, [x.to(data), *parameters]
    elif operator in ("selective_scan", EIGHT_STATES):
        tensors = scan_tensors(4 * dim, height * width, 8 if operator == EIGHT_STATES else STATE)
        inputs = [t.to(data) if name in ("u", "delta", "B", "C") else t for name, t in tensors.items()]

        def function(u, delta, A, B, C, D, bias):
            return swin_umamba_ext.selective_scan(u, delta, A, B, C, D, None, bias, delta_softplus=True)
    elif operator == "cross_scan":
        function, inputs = swin_umamba_ext.cross_scan, [normal(generator, 1, dim, height, width).to(data)]
    else:
        inputs = [normal(generator, 1, 4, dim, height * width).to(data)]

        def function(y):
            return swin_umamba_ext.cross_merge(y, height, width)

    if what == "forward":
        return torch.no_grad()(lambda: function(*inputs))
    leaves = [t.requires_grad_() for t in inputs]
    out = function(*leaves)
    weight = torch.ones_like(out)
    if what == "both":
        return lambda: torch.autograd.grad(function(*leaves), leaves, weight)
    return lambda: torch.autograd.grad(out, leaves, weight, retain_graph=True)


SPEED_CASES = [
    (operator, what, dtype, stage)
    for operator in [*OPERATORS, EIGHT_STATES]
    for what in ("forward", "backward", "both")
    for dtype in ("float32", "bfloat16")
    for stage in range(len(STAGES))
]


def serve_times() -> None:
    """For every line (case, calls) of the standard input, a line with the seconds of a call."""
    keep_freed_memory()
    torch.set_num_threads(1)
    case, call = None, None
    for line in sys.stdin:
        wanted, calls = json.loads(line)
        if wanted != case:
            call = None  # frees what it holds
            case, call = wanted, speed_call(*wanted)
        call()  # the other build has had the caches
        start = time.process_time()
        for _ in range(calls):
            call()
        print((time.process_time() - start) / calls, flush=True)


class Build:
    """One build: the folder that Python finds it in, or None for what is installed."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name = name
        self.environment = dict(os.environ)  # with the huge pages that `cpu` asks for
        if folder is not None:
            paths = [str(folder.resolve()), os.environ.get("PYTHONPATH")]
            self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        found = Path(self.python("import swin_umamba_ext; print(swin_umamba_ext.__path__[0])"))
        if folder is not None and not found.is_relative_to(folder.resolve()):
            sys.exit(f"compare_builds.py: the {name} build is not in {folder}: Python finds it in {found}")
        self.sets = self.python(
            "from swin_umamba_ext import library; print(*library.available_instruction_sets())"
        ).split()

    def python(self, code: str, *arguments: str) -> str:
        """What ``code`` prints, run where no checkout is in the way."""
        command = [sys.executable, "-c", code, *arguments]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(command, env=self.environment, cwd=folder, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"compare_builds.py: the {self.name} build failed")
        return done.stdout.strip()

    def worker(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, __file__, "--worker", *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=self.environment | environment, **pipes)


def answer(build: Build, worker: subprocess.Popen[str], text: str) -> str:
    if not text:
        sys.exit(f"compare_builds.py: the {build.name} build ended with status {worker.wait()}")
    return text


def compare_bits(builds: list[Build], problems: int) -> tuple[list[str], bool]:
    former, new = (build.sets for build in builds)
    different = former != new
    lines = [f"instruction sets differ: {' '.join(former)}; {' '.join(new)}"] * different
    lines.append("kernels, threads | arrays compared | that differ")
    total = 0
    for name in (name for name in former if name in new):
        for threads in THREADS:
            settings = {"SWIN_UMAMBA_CPU": name, "OMP_WAIT_POLICY": "PASSIVE"}  # both at once: no thread is to spin
            workers = [build.worker("bits", threads, problems, **settings) for build in builds]
            digests = [json.loads(answer(b, w, w.communicate()[0])) for b, w in zip(builds, workers, strict=True)]
            names = list(dict.fromkeys([*digests[0], *digests[1]]))
            wrong = [n for n in names if digests[0].get(n) != digests[1].get(n)]
            different |= bool(wrong)
            total += len(names)
            lines.append(f"{name}, {threads} | {len(names)} | {len(wrong)}")
            print(*lines[-1:], *wrong[:20], sep="\n", flush=True)
            lines += [f"  {n}" for n in wrong[:20]]
    lines.append(f"all | {total} | {'some' if different else 0}")
    return lines, different


def median_pair(pairs: list[tuple[float, float]]) -> str:
    """Milliseconds of both builds and the median of the pairs' ratios, with quartiles."""
    former, new = (statistics.median(seconds) * 1e3 for seconds in zip(*pairs, strict=True))
    low, middle, high = statistics.quantiles([b / a for a, b in pairs], n=4)
    return f"{former:8.3f} | {new:8.3f} | {middle:.3f} ({low:.3f} to {high:.3f})"


def in_turn(former: Callable[[], T], new: Callable[[], T], turn: int) -> tuple[T, T]:
    """What both give; every second time the new one is called first."""
    if turn % 2:
        b, a = new(), former()
        return a, b
    return former(), new()


def compare_operators(builds: list[Build], only: str) -> list[str]:
    cases = [case for case in SPEED_CASES if f"{' '.join(map(str, case[:3]))} {case[3] + 1}".startswith(only)]
    pairs: dict[tuple, list[tuple[float, float]]] = {case: [] for case in cases}
    for _ in range(ROUNDS):
        workers = [build.worker("speed") for build in builds]

        def seconds(which: int, case: tuple, calls: int, workers: list = workers) -> float:
            worker = workers[which]
            print(json.dumps([case, calls]), file=worker.stdin, flush=True)
            return float(answer(builds[which], worker, worker.stdout.readline()))

        for case in cases:
            slowest = max(seconds(which, case, 1) for which in (0, 1))
            calls = max(1, int(TURN_SECONDS / max(slowest, 1e-6)))
            for turn in range(TURNS):
                ours = (lambda which=which, case=case, calls=calls: seconds(which, case, calls) for which in (0, 1))
                pairs[case].append(in_turn(*ours, turn))
        for worker in workers:
            worker.communicate()
    lines = [f"operator, stage {' '.join(f'{h}x{w}x{d}' for h, w, d in STAGES)} | former ms | new ms | new / former"]
    for (operator, what, dtype, stage), seen in pairs.items():
        lines.append(f"{operator} {what} {dtype} {stage + 1} | {median_pair(seen)}")
    return lines


def compare_starts(builds: list[Build]) -> list[str]:
    entry = (
        "from importlib.metadata import entry_points; print(entry_points(group='console_scripts')['swin-umamba'].value)"
    )
    imports = dict.fromkeys((0, 1), "import swin_umamba_ext")
    helps = {}
    for which, build in enumerate(builds):
        module, function = build.python(entry).split(":")
        helps[which] = f"import sys; from {module} import {function}; sys.exit({function}())"  # as pip's script does
    lines = ["start | former ms | new ms | new / former"]
    for name, codes, arguments in (("import swin_umamba_ext", imports, []), ("swin-umamba --help", helps, ["--help"])):

        def seconds(which: int, codes: dict = codes, arguments: list = arguments) -> tuple[float, float]:
            start, before = time.perf_counter(), os.times()
            builds[which].python(codes[which], *arguments)
            wall, after = time.perf_counter() - start, os.times()
            return wall, after.children_user + after.children_system - before.children_user - before.children_system

        for which in (0, 1):
            seconds(which)
        turns = [in_turn(lambda s=seconds: s(0), lambda s=seconds: s(1), turn) for turn in range(STARTS)]
        for i, clock in enumerate(("wall", "processor")):
            lines.append(f"{name}, {clock} | {median_pair([(former[i], new[i]) for former, new in turns])}")
    return lines


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        if sys.argv[2] == "bits":
            print_digests(*map(int, sys.argv[3:]))
        else:
            serve_times()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--former", type=Path, required=True, metavar="FOLDER", help="that holds the former packages")
    parser.add_argument("--new", type=Path, metavar="FOLDER", help="that holds the new ones; default: those installed")
    parser.add_argument("--speed", action="store_true", help="compare times instead of bits")
    parser.add_argument(
        "--problems", type=int, default=60, help="random problems of each operator and dtype, for the bits; default: 60"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="with --speed: lines that start so, 'ss2d forward'")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the text there too")
    arguments = parser.parse_args()
    builds = [Build("former", arguments.former), Build("new", arguments.new)]
    different = False
    if arguments.speed:
        lines = compare_operators(builds, arguments.only)
        if not arguments.only:
            lines += ["", *compare_starts(builds)]
    else:
        lines, different = compare_bits(builds, arguments.problems)
    header = f"{processor()}, {os.cpu_count()} processors, torch {torch.__version__}"
    kernels = f"{library.instruction_set()} kernels, one thread" if arguments.speed else "all kernel sets"
    command = f"python benchmarks/compare_builds.py --former FOLDER{' --speed' * arguments.speed}"
    command += f" --only '{arguments.only}'" if arguments.only else ""
    text = "\n".join([command, f"{header}, {kernels}", "", *lines]) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    sys.exit(int(different))


if __name__ == "__main__":
    main()
