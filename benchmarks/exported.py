"""Time and memory of the exported Swin-UMamba† beside ours; prints what benchmarks/results/PROCESSOR/exported.txt has.

    python benchmarks/exported.py make FOLDER      # minutes: the network with random weights, and its ONNX files
    python benchmarks/exported.py measure FOLDER   # or a part of it: --only ours onnx

One image of 320x320 at a time, float32, each format in a process of its own: threads of one runtime that wait for work
would take time from another's. Times are the best of several calls; memory is the peak of a process that loads the
network and predicts that image, less its peak after the imports.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

SIZE = 320
ROUNDS = 6
THREADS = (1, 2)
LIMIT = 10.0
"""Seconds after which no further call is made."""
RUNTIMES = {
    "ours": "torch",
    "onnx": "onnxruntime",
    "onnx-linear-attention": "onnxruntime",
    "onnx-openvino": "openvino",
}


def make(folder: Path) -> None:
    import torch
    from swin_umamba.exporting.formats import FORMATS
    from swin_umamba.exporting.graph import Sizes, trace
    from swin_umamba.networks import SwinUMambaD

    torch.manual_seed(0)
    network = SwinUMambaD(1, 3).eval()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "weights.pth")
    program = trace(network, 1, Sizes((SIZE, SIZE), network.size_multiple))
    for name in RUNTIMES:
        if name in FORMATS:
            FORMATS[name].write(program, folder / f"{name}.onnx")
    np.save(folder / "logits.npy", load("ours", folder, 1)(picture()))


def load(name: str, folder: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    path = folder / f"{name}.onnx"
    if RUNTIMES[name] == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda image: session.run(None, {"image": image})[0]
    if RUNTIMES[name] == "openvino":
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(path, "CPU", settings)
        return lambda image: compiled(image)[0]
    import torch
    from swin_umamba.networks import SwinUMambaD

    torch.set_num_threads(threads)
    network = SwinUMambaD(1, 3).eval()
    network.load_state_dict(torch.load(folder / "weights.pth", mmap=True), assign=True)

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(image)).numpy()

    return run


def picture() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, 1, SIZE, SIZE), dtype=np.float32)


def times(folder: Path, name: str, threads: int) -> None:
    image, run, seconds = picture(), load(name, folder, threads), []
    begin = time.perf_counter()
    while len(seconds) <= ROUNDS and time.perf_counter() - begin < LIMIT:
        start = time.perf_counter()
        found = run(image)
        seconds.append(time.perf_counter() - start)
    error = np.abs(found - np.load(folder / "logits.npy")).max()
    assert error < 1e-4
    print(f"{threads:7d}  {name:22s}{1e3 * min(seconds):8.0f}  {error:9.0e}")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(folder: Path, name: str) -> None:
    __import__(RUNTIMES[name])
    if name == "ours":
        from swin_umamba.networks import SwinUMambaD  # noqa: F401
    before = peak()
    load(name, folder, THREADS[-1])(picture())
    print(f"         {name:22s}{peak() - before:8.0f}")


def processor() -> str:
    names = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return names[0].strip() if names else "unknown"


def measure(folder: Path, names: list[str]) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "openvino"))
    print(f"python benchmarks/exported.py\n{processor()}, {packages}\n\nSwin-UMamba†, 1x1x{SIZE}x{SIZE}, float32\n")

    def each(what: str, *options: str) -> None:
        for name in names:
            subprocess.run([sys.executable, __file__, what, folder, "--runtime", name, *options], check=True)

    print("threads  format                      ms      error", flush=True)
    for threads in THREADS:
        each("times", "--threads", str(threads))
    print("\n         format                     MiB", flush=True)
    each("memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "measure", "times", "memory"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--runtime", choices=RUNTIMES, default="ours", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=RUNTIMES, default=list(RUNTIMES), help="what measure runs")
    args = parser.parse_args()
    if args.what == "times":
        times(args.folder, args.runtime, args.threads)
    elif args.what == "memory":
        memory(args.folder, args.runtime)
    elif args.what == "make":
        make(args.folder)
    else:
        measure(args.folder, args.only)


if __name__ == "__main__":
    main()
