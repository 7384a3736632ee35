"""The CPU kernels beside their peers and the processor's limit; every section measures both sides in one run.

    pip install '.[bench]'
    python benchmarks/cpu.py                  # all; writes benchmarks/results/<processor>-<kernels>/cpu_<section>.txt
    python benchmarks/cpu.py scan limit       # some of them

Sections
--------
scan      selective_scan against mambapy's parallel scan and the plain-PyTorch reference, one thread
limit     selective_scan against the same arithmetic on registers (cpu_limit.cpp), one thread
fused     ss2d against its composition from our own kernels: time and peak memory, one thread
network   both networks against themselves with ss2d replaced by a multiplication, two threads; and what the ratio
          would be if the scan alone, at the processor's limit (cpu_limit.cpp), were added to the latter
threads   two threads against one
growth    ss2d per pixel at 640x640 against 160x160, one thread
half      bfloat16 and float16 against float32, one thread
norm      instance_norm and LeakyReLU against PyTorch's, against sums and products of PyTorch's, and against copying the
          map twice, one and two threads
waiting   how threads wait for each other: a training step by setting, alone and beside a busy program

The C library is told to keep freed memory, so that no side's time is that of the system clearing pages; large tensors
are in huge pages, as in a training.
Times are the shortest of turns over several seconds; mambapy's and plain PyTorch's are of one, after one to warm up.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import swin_umamba_ext
from swin_umamba_ext import library, reference

HERE = Path(__file__).resolve().parent
STAGES = [(80, 80, 192), (40, 40, 384), (20, 20, 768), (10, 10, 1536)]
SCAN_SHAPES = [(768, 6400), (1536, 1600), (3072, 400)]  # (4*D, L) of the first three stages
STATE = 16


def times(functions: dict[str, Callable[[], object]], runs: int = 9, seconds: float = 4.0) -> dict[str, float]:
    """Shortest seconds of each function: other programs only ever add time. The functions take turns, at least ``runs``
    of them and for at least ``seconds``, so that all of them meet the machine's fast phases."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    end = time.perf_counter() + seconds
    while min(map(len, samples.values())) < runs or time.perf_counter() < end:
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            samples[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in samples.items()}


def peak_bytes(function: Callable[[], object]) -> int:
    """Peak of the memory that torch allocates while ``function`` runs, above what was there before."""
    function()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        function()
    now = peak = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU:
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def scan_tensors(dim: int, length: int, state: int = STATE) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "u": normal(1, dim, length),
        "delta": 0.5 * normal(1, dim, length) - 2,
        "A": -torch.arange(1.0, state + 1).repeat(dim, 1),
        "B": normal(1, 4, state, length),
        "C": normal(1, 4, state, length),
        "D": normal(dim),
        "delta_bias": 0.1 * normal(dim),
    }


def ss2d_tensors(batch: int, height: int, width: int, dim: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    rank = dim // 32

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return [
        normal(batch, height, width, dim),
        normal(4, rank + 2 * STATE, dim) * dim**-0.5,
        normal(4, dim, rank) * rank**-0.5,
        normal(4, dim) - 2,
        torch.arange(1.0, STATE + 1).log().repeat(4 * dim, 1),
        torch.ones(4 * dim),
    ]


def forward_only(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    return torch.no_grad()(function)


def forward_backward(function: Callable[..., Tensor], inputs: list[Tensor]) -> Callable[[], object]:
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    weight = torch.ones_like(function(*leaves).detach())
    return lambda: torch.autograd.grad(function(*leaves), leaves, weight)


def composed(x: Tensor, x_proj: Tensor, dt_projs: Tensor, bias: Tensor, A_logs: Tensor, Ds: Tensor) -> Tensor:
    """``ss2d`` from cross_scan, projections, selective_scan and cross_merge, all our own kernels."""
    _, height, width, dim = x.shape
    rank = dt_projs.shape[2]
    xs = swin_umamba_ext.cross_scan(x.permute(0, 3, 1, 2))
    dt, B, C = torch.einsum("bkdl,kcd->bkcl", xs, x_proj).split([rank, STATE, STATE], dim=2)
    delta = torch.einsum("bkrl,kdr->bkdl", dt, dt_projs)
    ys = swin_umamba_ext.selective_scan(
        xs.flatten(1, 2), delta.flatten(1, 2), -A_logs.exp(), B, C, Ds, None, bias.flatten(), delta_softplus=True
    )
    return swin_umamba_ext.cross_merge(ys.unflatten(1, (4, dim)), height, width).permute(0, 2, 3, 1).contiguous()


def mambapy_scan(u, delta, A, B, C, D, delta_bias):
    """The same scan with mambapy's parallel scan, which keeps (B, L, D, N)."""
    from mambapy.pscan import pscan

    dim = u.shape[1]
    dt = torch.nn.functional.softplus(delta + delta_bias[:, None]).transpose(1, 2)
    x = u.transpose(1, 2)
    per_channel = [m.repeat_interleave(dim // m.shape[1], dim=1).permute(0, 3, 1, 2) for m in (B, C)]
    h = pscan(torch.exp(dt[..., None] * A), (dt * x)[..., None] * per_channel[0])
    return ((h * per_channel[1]).sum(-1) + D * x).transpose(1, 2)


def section_scan() -> list[str]:
    torch.set_num_threads(1)
    version = importlib.metadata.version("mambapy")
    lines = [f"dim length | ours ms | mambapy {version} ms (ratio) | plain PyTorch ms (ratio)"]

    def ours(u, delta, A, B, C, D, bias):
        return swin_umamba_ext.selective_scan(u, delta, A, B, C, D, None, bias, delta_softplus=True)

    def plain(u, delta, A, B, C, D, bias):
        return reference.selective_scan(u, delta, A, B, C, D, None, bias, delta_softplus=True)

    for dim, length in SCAN_SHAPES:
        inputs = list(scan_tensors(dim, length).values())
        error = (ours(*inputs) - mambapy_scan(*inputs)).abs().max() / mambapy_scan(*inputs).abs().max()
        assert error < 1e-4, f"mambapy gives another result: {error}"
        for what in ("forward", "forward+backward"):

            def call(function, inputs=inputs, what=what):
                if what == "forward":
                    return forward_only(lambda: function(*inputs))
                return forward_backward(function, inputs)

            calls = {"ours": call(ours), "mambapy": call(mambapy_scan)}
            if what == "forward":
                # Only this: its gradient goes through a slice for each step, each of which fills a whole tensor.
                calls["plain"] = call(plain)
            # Ours takes milliseconds, the others seconds.
            t = {
                name: times({name: function}, *((9, 4) if name == "ours" else (1, 0)))[name]
                for name, function in calls.items()
            }
            loop = f"{t['plain'] * 1e3:8.0f} ({t['plain'] / t['ours']:5.1f}x)" if "plain" in t else "-"
            lines.append(
                f"{dim:5} {length:5} {what:17} | {t['ours'] * 1e3:8.1f} | {t['mambapy'] * 1e3:8.0f} "
                f"({t['mambapy'] / t['ours']:5.1f}x) | {loop}"
            )
            print(lines[-1], flush=True)
    return lines


def _limit_library() -> ctypes.CDLL:
    name = library.instruction_set()
    sets = (HERE.parent / "csrc" / "kernels" / "cpu" / "instruction_sets.def").read_text()
    flags = re.search(rf'SWIN_SET\({name}, "(.*?)"', sets)[1].split()
    target = Path(tempfile.mkdtemp()) / "limit.so"
    command = [os.environ.get("CXX", "c++"), "-std=c++17", "-O3", "-w", "-fPIC", "-shared", f"-DSWIN_ISA={name}"]
    subprocess.run([*command, *flags, str(HERE / "cpu_limit.cpp"), "-o", str(target)], check=True)
    limit = ctypes.CDLL(str(target))
    for function in (limit.swin_limit_forward, limit.swin_limit_backward):
        function.restype, function.argtypes = ctypes.c_float, [ctypes.c_int64]
    return limit


def section_limit() -> list[str]:
    torch.set_num_threads(1)
    limit = _limit_library()
    lines = ["dim length | forward ms, limit ms, share | backward ms, limit ms, share"]
    for dim, length in SCAN_SHAPES:
        inputs = scan_tensors(dim, length)
        updates = dim * length * STATE // limit.swin_limit_lanes()
        leaves = {name: t.requires_grad_() for name, t in inputs.items()}
        out = swin_umamba_ext.selective_scan(**leaves, delta_softplus=True)
        weight = torch.ones_like(out)

        def forward(inputs=inputs) -> None:
            with torch.no_grad():
                swin_umamba_ext.selective_scan(**inputs, delta_softplus=True)

        def backward(out=out, leaves=leaves, weight=weight) -> None:
            torch.autograd.grad(out, list(leaves.values()), weight, retain_graph=True)

        t = times(
            {
                "forward": forward,
                "forward limit": lambda updates=updates: limit.swin_limit_forward(updates),
                "backward": backward,
                "backward limit": lambda updates=updates: limit.swin_limit_backward(updates),
            }
        )
        lines.append(
            f"{dim:5} {length:5} | {t['forward'] * 1e3:6.1f} {t['forward limit'] * 1e3:6.1f} "
            f"{t['forward limit'] / t['forward']:5.0%} | {t['backward'] * 1e3:6.1f} {t['backward limit'] * 1e3:6.1f} "
            f"{t['backward limit'] / t['backward']:5.0%}"
        )
    return lines


def section_fused() -> list[str]:
    torch.set_num_threads(1)
    lines = ["shape batch | forward fused ms, composed ms, ratio, memory ratio | forward+backward likewise"]
    for height, width, dim in STAGES:
        for batch in (1, 4):
            inputs = ss2d_tensors(batch, height, width, dim)
            cells = []
            for what in ("forward", "forward+backward"):
                calls = {
                    name: forward_only(lambda f=f, i=inputs: f(*i))
                    if what == "forward"
                    else forward_backward(f, inputs)
                    for name, f in (("fused", swin_umamba_ext.ss2d), ("composed", composed))
                }
                t = times(calls)
                memory = {name: peak_bytes(call) for name, call in calls.items()}
                cells.append(
                    f"{t['fused'] * 1e3:7.1f} {t['composed'] * 1e3:7.1f} {t['composed'] / t['fused']:5.2f}x "
                    f"{memory['fused'] / memory['composed']:5.2f}"
                )
            lines.append(f"{height}x{width}x{dim} {batch} | {cells[0]} | {cells[1]}")
    return lines


def section_network() -> list[str]:
    from swin_umamba.networks import SwinUMamba, SwinUMambaD

    torch.set_num_threads(2)
    fused = swin_umamba_ext.ss2d

    def multiplication(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds):
        return x.float() * Ds[: x.shape[-1]]

    limit = _limit_library()
    lines = ["network, pass | with ss2d ms | with a multiplication ms | ratio | ratio at the limit of the scan"]
    for network in (SwinUMamba, SwinUMambaD):
        model = network(in_channels=1, num_classes=14, deep_supervision=True)
        image, small = torch.randn(1, 1, 320, 320), torch.randn(2, 1, 128, 128)

        def forward(model=model, image=image) -> None:
            model.eval()
            with torch.no_grad():
                model(image)

        def step(model=model, small=small) -> None:
            model.train()
            sum(y.square().mean() for y in model(small)).backward()

        for what, call in (("forward 1x1x320x320", forward), ("training step 2x1x128x128", step)):

            def with_operator(operator, call=call):
                def run() -> None:
                    swin_umamba_ext.ss2d = operator
                    try:
                        call()
                    finally:
                        swin_umamba_ext.ss2d = fused

                return run

            updates = 0

            def counted(x, *parameters):
                nonlocal updates
                updates += 4 * x.numel() * STATE // limit.swin_limit_lanes()
                return multiplication(x, *parameters)

            with_operator(counted)()

            def bound(updates=updates, backward=call is step) -> None:
                limit.swin_limit_forward(updates)
                if backward:
                    limit.swin_limit_backward(updates)

            t = times({"ss2d": with_operator(fused), "floor": with_operator(multiplication), "limit": bound})
            at_limit = 1 + t["limit"] / torch.get_num_threads() / t["floor"]
            lines.append(
                f"{network.__name__}, {what} | {t['ss2d'] * 1e3:7.0f} | {t['floor'] * 1e3:7.0f} | "
                f"{t['ss2d'] / t['floor']:.2f} | {at_limit:.2f}"
            )
    return lines


def section_threads() -> list[str]:
    lines = ["operator | 1 thread ms | 2 threads ms | ratio"]
    inputs = list(scan_tensors(*SCAN_SHAPES[0]).values())
    image = ss2d_tensors(1, *STAGES[0])
    planes = torch.randn(1, 192, 80, 80)
    walks = swin_umamba_ext.cross_scan(planes)

    def scan(u, delta, A, B, C, D, bias):
        return swin_umamba_ext.selective_scan(u, delta, A, B, C, D, None, bias, delta_softplus=True)

    calls = {
        "selective_scan forward": forward_only(lambda: scan(*inputs)),
        "selective_scan forward+backward": forward_backward(scan, inputs),
        "ss2d forward": forward_only(lambda: swin_umamba_ext.ss2d(*image)),
        "ss2d forward+backward": forward_backward(swin_umamba_ext.ss2d, image),
        "cross_scan": lambda: swin_umamba_ext.cross_scan(planes),
        "cross_merge": lambda: swin_umamba_ext.cross_merge(walks, 80, 80),
    }
    for name, call in calls.items():
        # Turns of about 50 ms: the second thread sleeps while one works, and wakes as slowly as a short operator works.
        calls_in_turn = max(1, int(0.05 / times({"call": call}, seconds=0)["call"]))

        def on(threads: int, call=call, calls_in_turn=calls_in_turn) -> Callable[[], None]:
            def run() -> None:
                torch.set_num_threads(threads)
                for _ in range(calls_in_turn):
                    call()

            return run

        t = {n: seconds / calls_in_turn for n, seconds in times({"one": on(1), "two": on(2)}).items()}
        lines.append(f"{name} | {t['one'] * 1e3:7.2f} | {t['two'] * 1e3:7.2f} | {t['one'] / t['two']:.2f}x")
    return lines


def section_growth() -> list[str]:
    torch.set_num_threads(1)
    lines = ["ss2d, dim 96 | 160x160 ns/pixel | 640x640 ns/pixel | ratio"]
    small, large = ss2d_tensors(1, 160, 160, 96), ss2d_tensors(1, 640, 640, 96)
    for what in ("forward", "forward+backward"):
        calls = {
            name: forward_only(lambda i=i: swin_umamba_ext.ss2d(*i))
            if what == "forward"
            else forward_backward(swin_umamba_ext.ss2d, i)
            for name, i in (("small", small), ("large", large))
        }

        def sixteen(call=calls["small"]) -> None:
            """As long a turn as that of the large image: the shortest of short turns meets shorter fast phases."""
            for _ in range(16):
                call()

        t = times({"small": sixteen, "large": calls["large"]}, runs=5)
        per = {name: seconds / 640**2 * 1e9 for name, seconds in t.items()}
        memory = {name: peak_bytes(call) for name, call in calls.items()}
        lines.append(
            f"{what} | {per['small']:7.0f} | {per['large']:7.0f} | {per['large'] / per['small']:.2f} | "
            f"peak memory per pixel {memory['large'] / memory['small'] / 16:.2f}x"
        )
    return lines


def section_half() -> list[str]:
    torch.set_num_threads(1)
    lines = ["operator | float32 ms | bfloat16 ms (ratio) | float16 ms (ratio)"]
    scan_inputs, image = list(scan_tensors(*SCAN_SHAPES[0]).values()), ss2d_tensors(1, *STAGES[0])

    def scan(u, delta, A, B, C, D, bias):
        return swin_umamba_ext.selective_scan(u, delta, A, B, C, D, None, bias, delta_softplus=True)

    data = {"scan": (scan, scan_inputs, (0, 1, 3, 4)), "ss2d": (swin_umamba_ext.ss2d, image, (0,))}
    for name, (function, inputs, positions) in data.items():
        for what in ("forward", "forward+backward"):
            calls = {}
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                typed = [t.to(dtype) if i in positions else t for i, t in enumerate(inputs)]
                calls[str(dtype)] = (
                    forward_only(lambda f=function, i=typed: f(*i))
                    if what == "forward"
                    else forward_backward(function, typed)
                )
            full, brain, half = times(calls).values()
            lines.append(
                f"{name} {what} | {full * 1e3:7.1f} | {brain * 1e3:7.1f} ({full / brain:.2f}x) | "
                f"{half * 1e3:7.1f} ({full / half:.2f}x)"
            )
    return lines


NORM_SHAPES = [(1, 48, 320, 320), (1, 192, 80, 80), (1, 768, 20, 20), (2, 48, 128, 128), (2, 192, 32, 32)]
SLOPE = 0.01


def norm_of_parts(x: Tensor) -> Tensor:
    """Instance normalisation and LeakyReLU by PyTorch's means and products, which read any memory format as it lies."""
    wide = x.float()
    mean = wide.mean((2, 3), keepdim=True)
    rstd = ((wide - mean).square().mean((2, 3), keepdim=True) + 1e-5).rsqrt()
    return torch.nn.functional.leaky_relu_(torch.addcmul(-mean * rstd, wide, rstd), SLOPE).to(x.dtype)


def section_norm() -> list[str]:
    lines = [
        "map, pass | dtype | threads | ours ms | PyTorch's ms (ratio) | of parts ms (ratio) | two copies ms (ratio)"
    ]
    functions = {
        "ours": lambda x: swin_umamba_ext.instance_norm(x, negative_slope=SLOPE),
        "PyTorch's": lambda x: torch.nn.functional.leaky_relu_(torch.nn.functional.instance_norm(x), SLOPE),
        "of parts": norm_of_parts,
        "copies": lambda x: x.clone().clone(),
    }
    maps = [(shape, torch.channels_last) for shape in NORM_SHAPES] + [(NORM_SHAPES[0], torch.contiguous_format)]
    for shape, memory_format in maps:
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(shape).to(dtype).to(memory_format=memory_format)
            for what in ("forward", "forward+backward"):
                for threads in (1, 2):
                    torch.set_num_threads(threads)
                    t = times(
                        {
                            name: forward_only(lambda f=f, x=x: f(x)) if what == "forward" else forward_backward(f, [x])
                            for name, f in functions.items()
                            if what == "forward" or name != "copies"
                        },
                        runs=5,
                        seconds=0.5,
                    )
                    ours = t.pop("ours")
                    others = " | ".join(f"{other * 1e3:7.2f} ({other / ours:4.2f}x)" for other in t.values())
                    kind = "channels last" if memory_format == torch.channels_last else "planes"
                    lines.append(
                        f"{'x'.join(map(str, shape))} {kind}, {what} | {str(dtype).removeprefix('torch.')} | "
                        f"{threads} | {ours * 1e3:7.2f} | {others}"
                    )
    return lines


WAITING = {"default": {}, "GOMP_SPINCOUNT=4000": {"GOMP_SPINCOUNT": "4000"}, "PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"}}
WAITING_STEP = """
import statistics, time, torch
from swin_umamba.networks import SwinUMambaD
torch.set_num_threads(2)
model, image = SwinUMambaD(in_channels=1, num_classes=14, deep_supervision=True), torch.randn(2, 1, 128, 128)
seconds, end = [], time.perf_counter() + 6
while time.perf_counter() < end:
    start = time.perf_counter()
    sum(y.square().mean() for y in model(image)).backward()
    seconds.append(time.perf_counter() - start)
print(statistics.median(seconds[1:]))
"""


def section_waiting() -> list[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    lines = ["setting | SwinUMambaD, forward and backward 2x1x128x128, alone ms | beside a busy program ms (medians)"]
    for name, setting in WAITING.items():
        medians = []
        for busy in (False, True):
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
            try:
                command = [sys.executable, "-c", WAITING_STEP]
                done = subprocess.run(command, env=inherited | setting, check=True, capture_output=True, text=True)
            finally:
                if other:
                    other.kill()
            medians.append(float(done.stdout))
        lines.append(f"{name:19} | {medians[0] * 1e3:5.0f} | {medians[1] * 1e3:5.0f}")
    return lines


SECTIONS = {
    name.removeprefix("section_"): function for name, function in globals().items() if name.startswith("section_")
}


def keep_freed_memory() -> None:
    """Not for a training: a freed block is a few bytes too small for the next aligned one, and the heap may grow on."""
    trim_threshold, mmap_max = -1, -4  # <malloc.h> of the GNU C library
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


def processor() -> str:
    try:
        return re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()).group(1)
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


def machine() -> str:
    return (
        f"{processor()}, {os.cpu_count()} processors, {library.instruction_set()} kernels, "
        f"torch {torch.__version__}, load average at the start {os.getloadavg()[0]:.1f}"
    )


def results_folder() -> Path:
    """One for each kind of processor and set of kernels: no machine writes over the figures of another."""
    words = re.findall(r"[a-z0-9]+", processor().lower().replace("(r)", "").replace("(tm)", ""))
    return HERE / "results" / "-".join([*words, library.instruction_set()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    arguments = parser.parse_args()
    for unknown in set(arguments.sections) - set(SECTIONS):
        parser.error(f"there is no section {unknown!r}; there are {', '.join(SECTIONS)}")
    keep_freed_memory()
    for name in arguments.sections or SECTIONS:
        header = machine()
        text = "\n".join([f"python benchmarks/cpu.py {name}", header, "", *SECTIONS[name]()]) + "\n"
        print(text)
        results_folder().mkdir(parents=True, exist_ok=True)
        (results_folder() / f"cpu_{name}.txt").write_text(text)


if __name__ == "__main__":
    main()
