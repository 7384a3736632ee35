"""Time and memory of the exported Swin-UMamba† beside ours; prints what benchmarks/results/PROCESSOR/exported.txt has.

    python benchmarks/exported.py make FOLDER      # minutes: the network with random weights, and its ONNX file
    python benchmarks/exported.py measure FOLDER

One image of 320x320 at a time, float32. Times are the best of several calls, taken in turn in one process; memory is
the peak of a process that loads the network and predicts that image, less its peak after the imports.
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
RUNTIMES = {"ours": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino"}


def make(folder: Path) -> None:
    import torch
    from swin_umamba.exporting.formats import FORMATS
    from swin_umamba.exporting.writing import write_model
    from swin_umamba.networks import SwinUMambaD

    torch.manual_seed(0)
    network = SwinUMambaD(1, 3).eval()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "weights.pth")
    print(write_model(network, 1, (SIZE, SIZE), FORMATS["onnx"], folder / "model.onnx"))


def load(runtime: str, folder: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    path = folder / "model.onnx"
    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda image: session.run(None, {"image": image})[0]
    if runtime == "openvino":
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


def times(folder: Path, threads: int) -> None:
    image, runs = picture(), {name: load(name, folder, threads) for name in RUNTIMES}
    wanted = runs["ours"](image)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            found = run(image)
            seconds[name].append(time.perf_counter() - start)
            assert np.abs(found - wanted).max() < 1e-4
    best = {name: min(values) for name, values in seconds.items()}
    for name, value in best.items():
        print(f"{threads:7d}  {name:12s}{1e3 * value:8.0f}{value / best['ours']:10.2f}")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(folder: Path, runtime: str) -> None:
    __import__(RUNTIMES[runtime])
    if runtime == "ours":
        from swin_umamba.networks import SwinUMambaD  # noqa: F401
    before = peak()
    load(runtime, folder, THREADS[-1])(picture())
    print(f"         {runtime:12s}{peak() - before:8.0f}")


def processor() -> str:
    names = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return names[0].strip() if names else "unknown"


def measure(folder: Path) -> None:
    # Each in a process of its own: the threads of one runtime that wait for work would take time from the others.
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "openvino"))
    print(f"python benchmarks/exported.py\n{processor()}, {packages}\n\nSwin-UMamba†, 1x1x{SIZE}x{SIZE}, float32\n")
    print("threads  runtime           ms  of ours", flush=True)
    for threads in THREADS:
        subprocess.run([sys.executable, __file__, "times", folder, "--threads", str(threads)], check=True)
    print("\n         runtime          MiB", flush=True)
    for runtime in RUNTIMES:
        subprocess.run([sys.executable, __file__, "memory", folder, "--runtime", runtime], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "measure", "times", "memory"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--runtime", choices=RUNTIMES, default="ours", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.what == "times":
        times(args.folder, args.threads)
    elif args.what == "memory":
        memory(args.folder, args.runtime)
    else:
        {"make": make, "measure": measure}[args.what](args.folder)


if __name__ == "__main__":
    main()
