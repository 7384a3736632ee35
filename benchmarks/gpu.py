"""Measure the operators on this machine's GPU and print one table. Started by benchmarks/gpu.sh.

    python benchmarks/gpu.py [--quick] [--output FILE]      # the table of operators
    python benchmarks/gpu.py --training [--output FILE]     # steps of both networks
    python benchmarks/gpu.py --smoke OPERATOR               # is it right? one operator, so that a crash is only its own
    python benchmarks/gpu.py --kernels --output FILE.csv    # what every kernel takes, by profiler and graph replay
    python benchmarks/gpu.py --turns FILE.csv               # what a former build takes, of today's
    python benchmarks/gpu.py --one OPERATOR HxWxD BATCH     # twelve times forward and backward, for ncu

With ``--device cpu`` a little of each runs on the CPU, as a rehearsal.

Times are medians of CUDA events. The baselines of ``ss2d`` are compositions as the published code has them: a
cross-scan that copies the image four times, projections by einsum, mamba-ssm's scan, and a merge; (a) in plain
PyTorch, (b) with cross-scan and merge under torch.compile (dynamic shapes). Both need the package mamba-ssm.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import importlib.util
import itertools
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from cuda_model import BATCHES, SHAPES, STATE, Problem, cross_copy, least_ss2d, scan_forward
from torch import Tensor

import swin_umamba_ext
from swin_umamba_ext.__main__ import package_version


def import_mamba_scan() -> tuple[Callable | None, str]:
    """mamba-ssm's scan, without the package's own ``__init__``, which imports models that need further packages."""
    spec = importlib.util.find_spec("mamba_ssm")
    if spec is None:
        return None, "mamba-ssm is not installed: no baselines (a) and (b)"
    package = types.ModuleType("mamba_ssm")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["mamba_ssm"] = package
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:
        return None, f"mamba-ssm's scan does not import ({error}): no baselines (a) and (b)"
    return selective_scan_fn, "mamba-ssm is installed: (a) and (b) are the compositions around its scan"


mamba_scan, MAMBA_REPORT = import_mamba_scan()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MEBIBYTE = 2**20


def plain_cross_scan(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 4, C, L)."""
    forward = torch.stack([x.flatten(2), x.transpose(2, 3).flatten(2)], dim=1)
    return torch.cat([forward, forward.flip(-1)], dim=1)


def plain_cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    folded = y[:, :2] + y[:, 2:].flip(-1)
    columns = folded[:, 1].unflatten(-1, (width, height)).transpose(2, 3)
    return folded[:, 0].unflatten(-1, (height, width)) + columns


def composition(scan: Callable, merge: Callable) -> Callable:
    """ss2d from ``scan``, einsum, mamba-ssm's scan and ``merge``, with the arguments of the fused operator."""

    def ss2d(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds):
        _, height, width, _ = x.shape
        rank, state = dt_projs_weight.shape[2], A_logs.shape[1]
        xs = scan(x.permute(0, 3, 1, 2))
        projected = torch.einsum("bkdl,kcd->bkcl", xs, x_proj_weight.to(xs.dtype))
        dt, B, C = projected.split([rank, state, state], dim=2)
        dts = torch.einsum("bkrl,kdr->bkdl", dt, dt_projs_weight.to(xs.dtype))
        ys = mamba_scan(
            xs.float().flatten(1, 2),
            dts.float().flatten(1, 2).contiguous(),
            -torch.exp(A_logs.float()),
            B.float().contiguous(),
            C.float().contiguous(),
            Ds.float(),
            delta_bias=dt_projs_bias.float().flatten(),
            delta_softplus=True,
        )
        return merge(ys.unflatten(1, (4, -1)), height, width).permute(0, 2, 3, 1).contiguous()

    return ss2d


def compiled_scan_and_merge() -> tuple[Callable, Callable]:
    # Dynamic shapes: compiling anew for every shape of the table would take longer than measuring it.
    return torch.compile(plain_cross_scan, dynamic=True), torch.compile(plain_cross_merge, dynamic=True)


def image_arguments(shape: tuple[int, int, int], batch: int, dtype: torch.dtype, device: str = "cuda") -> list[Tensor]:
    height, width, dim = shape
    rank = dim // 32
    g = torch.Generator(device).manual_seed(0)

    def normal(*size: int, scale: float = 1.0) -> Tensor:
        return torch.randn(size, device=device, generator=g) * scale

    rates = torch.arange(1, STATE + 1, device=device, dtype=torch.float32).log().repeat(4 * dim, 1)
    parameters = [
        normal(4, rank + 2 * STATE, dim, scale=dim**-0.5),
        normal(4, dim, rank, scale=rank**-0.5),
        normal(4, dim) - 4,
        rates,
        torch.ones(4 * dim, device=device),
    ]
    return [t.requires_grad_() for t in (normal(batch, height, width, dim).to(dtype), *parameters)]


def scan_arguments(shape: tuple[int, int, int], batch: int, dtype: torch.dtype, device: str = "cuda") -> list[Tensor]:
    """The selective scan that an ss2d of this shape contains."""
    height, width, dim = shape
    g = torch.Generator(device).manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, device=device, generator=g)

    sequence, matrix = (batch, 4 * dim, height * width), (batch, 4, STATE, height * width)
    rates = -torch.arange(1, STATE + 1, device=device, dtype=torch.float32).repeat(4 * dim, 1)
    data = [normal(*sequence).to(dtype), normal(*sequence).to(dtype), rates, normal(*matrix).to(dtype)]
    data += [normal(*matrix).to(dtype), normal(4 * dim)]
    return [t.requires_grad_() for t in data]


# Of PyTorch's functions on a GPU.
COMPOSED = ("instance_norm", "depthwise_conv_silu", "gated_layer_norm")


def composed_arguments(
    operator: str, shape: tuple[int, int, int], batch: int, dtype: torch.dtype, device: str
) -> list[Tensor]:
    """Of the operators beside ss2d in the networks, parameters in float32."""
    height, width, dim = shape
    g = torch.Generator(device).manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, device=device, generator=g)

    image = normal(batch, height, width, dim)
    if operator == "instance_norm":
        tensors = [image.permute(0, 3, 1, 2).to(dtype), normal(dim), normal(dim)]
    elif operator == "depthwise_conv_silu":
        tensors = [image.to(dtype), normal(dim, 1, 3, 3) / 3, normal(dim)]
    else:
        tensors = [image, normal(batch, height, width, dim).to(dtype), normal(dim), normal(dim)]
    return [t.requires_grad_() for t in tensors]


def median_time(run: Callable[[], object], seconds: float, device: str = "cuda") -> float:
    """Median seconds of one call, by CUDA events, over about ``seconds`` of repetitions."""
    if device == "cpu":  # a rehearsal
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    run()
    torch.cuda.synchronize()
    once = max(time.perf_counter() - begin, 1e-5)
    times = []
    for _ in range(min(max(int(seconds / once), 5), 100)):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        times.append((start, end))
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in times) / 1e3


def peak_memory(run: Callable[[], object], device: str) -> float:
    """Mebibytes that one call takes at most beyond what there is."""
    if device == "cpu":
        return 0.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MEBIBYTE


def is_out_of_memory(error: RuntimeError) -> bool:
    """Of torch.OutOfMemoryError or, where an operator wanted the memory, another RuntimeError."""
    return "out of memory" in str(error)


def measure(function: Callable[..., Tensor], arguments: list[Tensor], seconds: float) -> dict[str, float] | None:
    """Seconds forward and forward+backward, and peak mebibytes beyond the arguments; None if memory runs out."""
    wanted, device = [a for a in arguments if a.requires_grad], arguments[0].device.type
    try:
        with torch.no_grad():
            grad = torch.randn_like(function(*arguments))
            forward = median_time(lambda: function(*arguments), seconds, device)

        def both() -> None:
            torch.autograd.grad(function(*arguments), wanted, grad)

        return {"forward": forward, "both": median_time(both, seconds, device), "peak": peak_memory(both, device)}
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        return None


class Table:
    """Rows of text, printed as they come and written to a file after each; what fails leaves a line instead."""

    def __init__(self, path: Path | None, head: list[str]) -> None:
        self.path, self.lines, self.failed = path, [], False
        for line in head:
            self.add(line)

    def add(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)
        if self.path:
            self.path.write_text("\n".join(self.lines) + "\n")

    @contextlib.contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """What is tried in it may fail; the rows after it are measured all the same."""
        try:
            yield
        except Exception as error:  # torch and its compiler raise many kinds
            self.failed = True
            self.add(f"{what} failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}")


def row(name: str, shape: str, batch: int, dtype: str, cells: list[str]) -> str:
    return f"{name:16}{shape:>14}{batch:>6} {dtype:9}" + "".join(f"{cell:>12}" for cell in cells)


HEAD = ["forward ms", "fwd+bwd ms", "floor ms", "% of floor", "peak MiB"]
BASELINES = ["(a) fwd ms", "times (a)", "(a) both ms", "times (a)", "(a) MiB", "(b) fwd ms", "(b) both ms", "times (b)"]


def beside(ours: dict[str, float], plain: dict[str, float] | None, compiled: dict[str, float] | None) -> list[str]:
    """The cells of the baselines, which end where one has no result."""
    if plain is None:
        return []
    cells = [f"{1e3 * plain['forward']:.4f}", f"{plain['forward'] / ours['forward']:.2f}"]
    cells += [f"{1e3 * plain['both']:.4f}", f"{plain['both'] / ours['both']:.2f}", f"{plain['peak']:.0f}"]
    if compiled is not None:
        cells += [f"{1e3 * compiled[what]:.4f}" for what in ("forward", "both")]
        cells += [f"{compiled['both'] / ours['both']:.2f}"]
    return cells


def operator_row(table: Table, case: tuple, floor: float, ours: dict | None, *baselines: dict | None) -> None:
    name, shape, batch, dtype = case
    label, dtype_name = "x".join(map(str, shape)), str(dtype).removeprefix("torch.")
    if ours is None:
        table.add(row(name, label, batch, dtype_name, ["out of memory"]))
        return
    own = [f"{1e3 * n:.4f}" for n in (ours["forward"], ours["both"], floor)]
    own += [f"{100 * floor / ours['forward']:.0f}", f"{ours['peak']:.0f}"]
    table.add(row(name, label, batch, dtype_name, own + beside(ours, *baselines)))


def ss2d_row(
    table: Table, case: tuple, compiled: tuple[Callable, Callable] | None, seconds: float, device: str
) -> None:
    _, shape, batch, dtype = case
    arguments, plain, fast = image_arguments(shape, batch, dtype, device), None, None
    ours = measure(swin_umamba_ext.ss2d, arguments, seconds)
    if mamba_scan is not None and ours is not None:
        plain = measure(composition(plain_cross_scan, plain_cross_merge), arguments, seconds)
        with table.going_on("(b)"):
            fast = measure(composition(*compiled), arguments, seconds) if compiled else None
    floor = least_ss2d(Problem(*shape, batch, dtype.itemsize)).floor()
    operator_row(table, case, floor, ours, plain, fast)


def scan_row(table: Table, case: tuple, seconds: float, device: str) -> None:
    _, shape, batch, dtype = case
    arguments, plain = scan_arguments(shape, batch, dtype, device), None

    def scan(u, delta, A, B, C, D, function=swin_umamba_ext.selective_scan):
        return function(u, delta, A, B, C, D, delta_softplus=True)

    ours = measure(scan, arguments, seconds)
    if mamba_scan is not None and ours is not None:
        plain = measure(functools.partial(scan, function=mamba_scan), arguments, seconds)
    operator_row(table, case, scan_forward(Problem(*shape, batch, dtype.itemsize)).floor(), ours, plain, None)


def cross_row(table: Table, case: tuple, seconds: float, device: str) -> None:
    name, shape, batch, dtype = case
    function, arguments = problem(name, shape, batch, dtype, device)
    floor = cross_copy(Problem(*shape, batch, dtype.itemsize)).floor()
    operator_row(table, case, floor, measure(function, arguments, seconds), None, None)


def operator_rows(table: Table, seconds: float, few: bool, device: str) -> None:
    """The rows that tell most first: a limit of time may end this."""
    shapes = (SHAPES[0], SHAPES[-1]) if few else SHAPES
    batches = (8, 1) if few else sorted(BATCHES, key=lambda batch: batch != 8)
    if device == "cpu":
        shapes, batches = SHAPES[-1:], (1,)
    cases = list(itertools.product(batches, shapes, DTYPES.values()))
    compiled = None if few or device == "cpu" else compiled_scan_and_merge()
    for batch, shape, dtype in cases:
        # (b) at one batch: its compilation takes longer than its measurement.
        with table.going_on(f"ss2d {shape} batch {batch} {dtype}"):
            ss2d_row(table, ("ss2d", shape, batch, dtype), compiled if batch == 8 else None, seconds, device)
        with table.going_on(f"selective_scan {shape} batch {batch} {dtype}"):
            scan_row(table, ("selective_scan", shape, batch, dtype), seconds, device)
        torch.cuda.empty_cache()
    for batch, shape, dtype in [] if few else cases:
        for name in ("cross_scan", "cross_merge"):
            with table.going_on(f"{name} {shape} batch {batch} {dtype}"):
                cross_row(table, (name, shape, batch, dtype), seconds, device)
        torch.cuda.empty_cache()


NETWORKS = ("SwinUMamba", "SwinUMambaD")


def build_network(name: str, device: str) -> torch.nn.Module:
    import swin_umamba.networks

    torch.manual_seed(0)
    network: torch.nn.Module = getattr(swin_umamba.networks, name)(1, 14)
    return network.to(device, memory_format=torch.channels_last)


def difference_from_cpu(name: str, device: str, side: int = 64) -> float:
    """How far a network's output in float32 is from the CPU's, over its largest magnitude; no TF32."""
    image = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        wanted, seen = (build_network(name, where).eval()(image.to(where)).cpu() for where in ("cpu", device))
    return ((seen - wanted).abs().max() / wanted.abs().max()).item()


def training_step(
    name: str, batch: int, seconds: float, device: str, side: int, profiled: bool
) -> tuple[dict[str, float], dict[str, float]] | None:
    """Seconds and peak mebibytes of a network's training step in bfloat16 autocast, 1 x side x side.

    And the microseconds of its kernels if it is ``profiled``. None if memory runs out.
    """
    try:
        network = build_network(name, device)
        optimizer = torch.optim.AdamW(network.parameters())
        image = torch.randn(batch, 1, side, side, device=device).to(memory_format=torch.channels_last)
        label = torch.randint(14, (batch, side, side), device=device)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(network(image), label)
            loss.backward()
            optimizer.step()

        taken = median_time(step, seconds, device)
        return {"both": taken, "peak": peak_memory(step, device)}, kernel_times(step, device) if profiled else {}
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        torch.cuda.empty_cache()


def largest_rows(times: dict[str, float], count: int = 20) -> list[str]:
    """The kernels that take most of a step."""
    largest = sorted(times.items(), key=lambda item: -item[1])[:count]
    return [f"    {time:10.0f} us {100 * time / sum(times.values()):5.1f} %  {name[:120]}" for name, time in largest]


def training_rows(table: Table, seconds: float, device: str) -> None:
    fused, side, batches = swin_umamba_ext.ss2d, 320, (8, 32)
    if device == "cpu":
        side, batches = 64, (1,)
    for name in NETWORKS:
        with table.going_on(f"{name} beside the CPU's"):
            table.add(f"{name} in float32 differs from the CPU's by {difference_from_cpu(name, device):.1e}")
    plain = None if mamba_scan is None else composition(plain_cross_scan, plain_cross_merge)
    for batch, name in itertools.product(batches, NETWORKS):
        results: list[tuple[dict[str, float], dict[str, float]] | None] = [None, None]
        for number, function in enumerate((fused, plain)):
            if function is None:
                continue
            swin_umamba_ext.ss2d = function  # the networks call it by this name
            with table.going_on(f"training step of {name}"):
                profiled = function is fused and batch == batches[0]
                results[number] = training_step(name, batch, seconds, device, side, profiled)
            swin_umamba_ext.ss2d = fused
        label = f"1x{side}x{side}"
        if results[0] is None:
            table.add(row(f"{name} step", label, batch, "autocast", ["no result"]))
            continue
        ours, times = results[0]
        cells = ["", f"{1e3 * ours['both']:.2f}", "", "", f"{ours['peak']:.0f}"]
        if results[1] is not None:
            other, _ = results[1]
            cells += ["", "", f"{1e3 * other['both']:.2f}", f"{other['both'] / ours['both']:.2f}"]
            cells += [f"{other['peak']:.0f}"]
        table.add(row(f"{name} step", label, batch, "autocast", cells))
        for line in largest_rows(times):
            table.add(line)


def head(device: str, multiprocessors: int) -> list[str]:
    """The first lines of the table: what was measured on what."""
    return [
        f"{device}, {multiprocessors} multiprocessors, torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"swin-umamba-ext {package_version()}",
        "Medians of CUDA events. Floor: the model of docs/cuda-model.md for an H100 SXM (for ss2d the least work), "
        "of the forward pass.",
        MAMBA_REPORT,
        "",
        row("operator", "HxWxD", 0, "dtype", [*HEAD, *BASELINES]).replace("     0 dtype", " batch dtype"),
    ]


def problem(
    operator: str, shape: tuple[int, int, int], batch: int, dtype: torch.dtype, device: str
) -> tuple[Callable, list[Tensor]]:
    """A function of an operator's name, and its arguments as leaves."""
    height, width, dim = shape
    if operator == "ss2d":
        return swin_umamba_ext.ss2d, image_arguments(shape, batch, dtype, device)
    if operator == "selective_scan":
        scan = functools.partial(swin_umamba_ext.selective_scan, delta_softplus=True)
        return scan, scan_arguments(shape, batch, dtype, device)
    if operator in COMPOSED:
        return getattr(swin_umamba_ext, operator), composed_arguments(operator, shape, batch, dtype, device)
    g = torch.Generator(device).manual_seed(0)
    if operator == "cross_scan":
        x = torch.randn(batch, dim, height, width, device=device, generator=g)
        return swin_umamba_ext.cross_scan, [x.to(dtype).requires_grad_()]
    y = torch.randn(batch, 4, dim, height * width, device=device, generator=g)
    merge = functools.partial(swin_umamba_ext.cross_merge, height=height, width=width)
    return merge, [y.to(dtype).requires_grad_()]


def results_of(function: Callable[..., Tensor], arguments: list[Tensor]) -> list[Tensor]:
    """The result, and the gradients of all arguments for a gradient that is the same on every device."""
    y = function(*arguments)
    g = torch.Generator().manual_seed(1)
    grad = torch.randn(y.shape, generator=g).to(y.device, y.dtype)
    return [y.detach(), *torch.autograd.grad(y, arguments, grad)]


def poison(device: str) -> None:
    """Leave freed memory full of NaN, so that a result that a kernel does not write shows."""
    blocks = [torch.full((2**power,), float("nan"), device=device) for power in range(7, 22)]
    del blocks


SMOKE_SHAPES = (((9, 15, 96), 2), ((20, 20, 192), 1), ((1, 70, 64), 1))
SMOKE_ERRORS = {torch.float32: 5e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}
# Convolutions in TF32 have 11 bits; in half types PyTorch's functions round more than once, and sum up gradients.
COMPOSED_ERRORS = {torch.float32: 2**-9, torch.bfloat16: 2**-5, torch.float16: 2**-8}


def smoke(operator: str, device: str) -> None:
    """Compare an operator and its gradients with the CPU kernels of the same wheel, and two runs with one another.

    The bits of PyTorch's own functions are not ours to promise.
    """
    wrong, errors_allowed = [], COMPOSED_ERRORS if operator in COMPOSED else SMOKE_ERRORS
    for (shape, batch), (dtype, allowed) in itertools.product(SMOKE_SHAPES, errors_allowed.items()):
        function, leaves = problem(operator, shape, batch, dtype, "cpu")
        wanted = results_of(function, leaves)
        moved = [leaf.detach().to(device).requires_grad_() for leaf in leaves]
        poison(device)
        first = results_of(function, moved)
        poison(device)
        second = results_of(function, moved)
        case = f"{operator} {'x'.join(map(str, shape))} batch {batch} {str(dtype).removeprefix('torch.')}"
        errors = []
        for number, (seen, again, want) in enumerate(zip(first, second, wanted, strict=True)):
            want = want.double()
            error = ((seen.cpu().double() - want).abs().max() / want.abs().max().clamp_min(1e-30)).item()
            errors.append(error)
            if not error <= allowed:  # NaN too
                wrong.append(f"{case}: result {number} is off by {error:.1e}, more than {allowed:.1e}")
            if operator not in COMPOSED and not torch.equal(seen, again):
                wrong.append(f"{case}: result {number} has other bits in the second run")
        print(f"{case}: largest error {max(errors):.1e}", flush=True)
    if wrong:
        sys.exit("\n".join(wrong))


def kernel_times(run: Callable[[], object], device: str) -> dict[str, float]:
    """Microseconds of each kernel in one call, by the profiler."""
    activity = torch.profiler.ProfilerActivity.CUDA if device == "cuda" else torch.profiler.ProfilerActivity.CPU
    repeats = 5
    for _ in range(2):
        run()
    with torch.profiler.profile(activities=[activity]) as profile:
        for _ in range(repeats):
            run()
        if device == "cuda":
            torch.cuda.synchronize()
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    times = {event.key: getattr(event, field) / repeats for event in profile.key_averages()}
    return {name: time for name, time in times.items() if time > 0}


def replay_time(run: Callable[[], object]) -> float:
    """Microseconds of one call, from replays of a CUDA graph: no time of the host is in it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return 1e6 * median_time(graph.replay, 0.02)


def kernels(
    output: Path | None, device: str, shapes: tuple = SHAPES, batches: tuple = BATCHES, profiled: bool = True
) -> None:
    """Write what each kernel of ss2d and selective_scan takes, forward and backward together, as CSV."""
    lines, failed = ["operator,shape,batch,dtype,kernel,microseconds"], False
    for operator, shape, batch, (name, dtype) in itertools.product(
        ("ss2d", "selective_scan"), shapes, batches, DTYPES.items()
    ):
        case = f"{operator},{'x'.join(map(str, shape))},{batch},{name}"
        try:
            function, leaves = problem(operator, shape, batch, dtype, device)
            y = function(*leaves)
            grad = torch.ones_like(y)
            del y

            def run() -> None:
                torch.autograd.grad(function(*leaves), leaves, grad)  # noqa: B023

            if profiled:
                lines += [f'{case},"{kernel}",{time:.2f}' for kernel, time in kernel_times(run, device).items()]
            if device == "cuda":
                lines.append(f"{case},graph replay,{replay_time(run):.2f}")
        except Exception as error:  # the other cases are measured all the same
            failed = True
            lines.append(f"{case},{type(error).__name__},")
            print(f"{case}: {error}", file=sys.stderr)
            torch.cuda.empty_cache()
        text = "\n".join(lines) + "\n"
        if output:
            output.write_text(text)  # after each case: a limit of time may end this
    print(text, end="")
    if failed:
        sys.exit(1)


def turns(path: Path) -> list[str]:
    """What today's build takes of the time of the one before, from replays measured in turn.

    The file has the columns of ``kernels`` after one that says ``old`` or ``new``; each case's least time counts.
    """
    least: dict[tuple[str, ...], dict[str, float]] = {}
    with path.open(newline="") as file:
        for build, *case, kernel, time in csv.reader(file):
            if kernel == "graph replay":
                times = least.setdefault(tuple(case), {})
                times[build] = min(times.get(build, float("inf")), float(time))
    return [
        f"{' '.join(case):44}{times['old']:12.2f} us old{times['new']:12.2f} us new{times['old'] / times['new']:7.2f}x"
        for case, times in least.items()
        if len(times) == 2
    ]


def ceilings(numbers: int = 2**29, side: int = 8192) -> list[str]:
    """What the device itself reaches: bytes per second of a copy, operations per second of a bfloat16 product."""
    x = torch.empty(numbers, device="cuda")
    copy = 2 * x.nbytes / median_time(functools.partial(torch.empty_like(x).copy_, x), 0.2)
    a = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
    product = 2 * side**3 / median_time(functools.partial(torch.matmul, a, a), 0.2)
    return [f"copy: {copy / 1e12:.2f} TB/s", f"bfloat16 product: {product / 1e12:.0f} TFLOP/s"]


def one(operator: str, shape: str, batch: str, device: str) -> None:
    """Twelve times forward and backward, for a profiler that looks at single launches."""
    function, leaves = problem(operator, tuple(map(int, shape.split("x"))), int(batch), torch.float32, device)
    for _ in range(12):
        results_of(function, leaves)
    if device == "cuda":
        torch.cuda.synchronize()
    print(f"{operator} {shape} batch {batch} ran 12 times")


OPERATORS = ("ss2d", "selective_scan", "cross_scan", "cross_merge", *COMPOSED)


def sanitize() -> None:
    """A few small calls of every kernel, for compute-sanitizer."""
    for dtype in DTYPES.values():
        for shape, batch in (((9, 15, 32), 2), ((1, 70, 64), 1)):
            for function, arguments in (
                (swin_umamba_ext.ss2d, image_arguments(shape, batch, dtype)),
                (
                    functools.partial(swin_umamba_ext.selective_scan, delta_softplus=True),
                    scan_arguments(shape, batch, dtype),
                ),
            ):
                torch.autograd.grad(function(*arguments).sum(), arguments)
        x = torch.randn(1, 3, 33, 65, device="cuda").to(dtype)
        swin_umamba_ext.cross_merge(swin_umamba_ext.cross_scan(x), 33, 65)
    torch.cuda.synchronize()
    print("every operator ran")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="file for the table, written row by row")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; of --kernels replays alone")
    parser.add_argument("--few", action="store_true", help="of the table two shapes at batch 1 and 8, without (b)")
    parser.add_argument("--training", action="store_true", help="measure training steps instead of operators")
    parser.add_argument("--turns", type=Path, metavar="FILE.csv", help="compare two builds' kernel times, and stop")
    parser.add_argument("--sanitize", action="store_true", help="only run each operator on small inputs")
    parser.add_argument("--smoke", choices=OPERATORS, help="compare one operator with the CPU kernels, and stop")
    parser.add_argument("--kernels", action="store_true", help="write what every kernel takes, and stop")
    parser.add_argument("--ceilings", action="store_true", help="measure a copy and a matrix product, and stop")
    parser.add_argument(
        "--one", nargs=3, metavar=("OPERATOR", "HxWxD", "BATCH"), help="run one problem 12 times, and stop"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal")
    arguments = parser.parse_args()
    if arguments.turns:
        print("\n".join(turns(arguments.turns)))
        return
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.exit(1, "gpu.py: torch sees no CUDA device; nothing to measure\n")
    if arguments.smoke:
        smoke(arguments.smoke, arguments.device)
        return
    if arguments.kernels:
        which = {"shapes": SHAPES[-1:], "batches": BATCHES[:1]} if arguments.device == "cpu" else {}
        if arguments.quick and arguments.device == "cuda":
            which = {"batches": (8, 1), "profiled": False}
        kernels(arguments.output, arguments.device, **which)
        return
    if arguments.one:
        one(*arguments.one, arguments.device)
        return
    if arguments.ceilings:
        print("\n".join(ceilings() if arguments.device == "cuda" else ["no ceilings of a CPU"]))
        return
    if arguments.sanitize:
        sanitize()
        return
    name, multiprocessors = "rehearsal on a CPU", 0
    if arguments.device == "cuda":
        device = torch.cuda.get_device_properties(0)
        name, multiprocessors = device.name, device.multi_processor_count
    table = Table(arguments.output, head(name, multiprocessors))
    if arguments.training:
        training_rows(table, 0.3 if arguments.quick else 1.0, arguments.device)
    else:
        operator_rows(table, 0.02 if arguments.quick else 0.1, arguments.few, arguments.device)
    if table.failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
