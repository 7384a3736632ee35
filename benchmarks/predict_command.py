"""`swin-umamba predict` of a folder of PNG slices by this build and a former one, in turn.

    python benchmarks/predict_command.py --checkpoint results/Dataset152_MNITissue-swin-umamba-d/checkpoint.pth \
        --former FOLDER

Writes benchmarks/results/<processor>-<kernels>/predict_command.txt: wall time, seconds of the processor and peak memory
of each run, start and imports included, and how many label images are the same. FOLDER holds the former packages and
its console script in `bin`. The images are slices of the MNI ICBM152 template along its three axes, 320x320; the patch
of the checkpoint is set to that, so that each of them is one tile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from cpu import machine, results_folder
from skimage.io import imread, imsave
from swin_umamba.checkpoints import read_checkpoint
from swin_umamba.checkpoints.writing import write_checkpoint

SIDE = 320


def write_images(folder: Path, count: int) -> None:
    from nilearn.datasets import load_mni152_template
    from skimage.transform import resize

    volume = load_mni152_template(resolution=1).get_fdata()
    volume /= volume.max()
    planes = [(axis, z) for axis, size in enumerate(volume.shape) for z in range(20, size - 20)]
    for number, place in enumerate(np.linspace(0, len(planes) - 1, count).astype(int)):
        plane = np.take(volume, planes[place][1], axis=planes[place][0])
        square = np.zeros((max(plane.shape),) * 2)
        square[: plane.shape[0], : plane.shape[1]] = plane
        pixels = (resize(square, (SIDE, SIDE), order=1) * 255).astype(np.uint8)
        imsave(folder / f"slice_{number:03}.png", pixels, check_contrast=False)


def write_model(source: Path, target: Path) -> None:
    checkpoint = read_checkpoint(source)
    plans = checkpoint["init_args"]["plans"]["configurations"]
    plans[checkpoint["init_args"]["configuration"]]["patch_size"] = [SIDE, SIDE]
    write_checkpoint(target, checkpoint)


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MiB of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def same_images(one: Path, other: Path) -> tuple[int, float]:
    """How many label images are the same, and which share of all pixels."""
    pairs = [(imread(path), imread(other / path.name)) for path in sorted(one.glob("*.png"))]
    equal = [np.array_equal(*pair) for pair in pairs]
    return sum(equal), float(np.mean([np.mean(a == b) for a, b in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a training of the sample")
    parser.add_argument("--former", type=Path, required=True, help="folder with the packages of the former build")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--builds", nargs="+", default=["auto", "float32"], help="of this one, beside the former")
    parser.add_argument("--folder", type=Path, help="keep the images here, for the next call")
    arguments = parser.parse_args()
    threads = {"OMP_NUM_THREADS": "2"}
    script = "import sys; from swin_umamba.commands import cli; sys.exit(cli.main(sys.argv[1:]))"
    old = [sys.executable, str(arguments.former / "bin" / "swin-umamba")]
    builds = {
        "former": (old, {**threads, "PYTHONPATH": str(arguments.former)}, []),
        **{
            f"this, {precision}": ([sys.executable, "-c", script], threads, ["--precision", precision])
            for precision in arguments.builds
        },
    }
    header = machine()
    lines = [
        f"python benchmarks/predict_command.py --images {arguments.images} --rounds {arguments.rounds}",
        f"{header}, 2 threads, {arguments.images} PNG slices of {SIDE}x{SIDE}, warm file cache",
        "",
        "build          round   seconds  of processor  peak MiB",
    ]
    found: dict[str, list[float]] = {name: [] for name in builds}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = (arguments.folder or folder) / "images"
        if not images.exists():
            images.mkdir(parents=True)
            write_images(images, arguments.images)
        write_model(arguments.checkpoint, folder / "checkpoint.pth")
        print("\n".join(lines), flush=True)
        for number in range(arguments.rounds):
            for build, (command, environment, options) in builds.items():
                output = folder / f"{build.replace(', ', '_')}_{number}"
                said = ["predict", str(images), str(output), "--device", "cpu", *options]
                seconds, processor, peak = run(
                    [*command, *said, "--checkpoint", str(folder / "checkpoint.pth")], environment
                )
                found[build].append(seconds)
                lines.append(f"{build:14} {number + 1:5} {seconds:9.1f} {processor:13.1f} {peak:9.0f}")
                print(lines[-1], flush=True)
        lines.append("")
        for build in list(builds)[1:]:
            ratio = statistics.median(a / b for a, b in zip(found["former"], found[build], strict=True))
            equal, share = same_images(folder / "former_0", folder / f"{build.replace(', ', '_')}_0")
            lines.append(
                f"{build}: {ratio:.2f} times as fast as the former; {equal} of {arguments.images} label images are the "
                f"same, {share:.6f} of the pixels"
            )
            print(lines[-1], flush=True)
    results_folder().mkdir(parents=True, exist_ok=True)
    (results_folder() / "predict_command.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
