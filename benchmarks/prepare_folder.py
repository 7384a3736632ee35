"""Time and peak memory of ``swin-umamba prepare folder``; writes benchmarks/results/prepare_folder.txt.

    python benchmarks/prepare_folder.py --make FOLDER
    python benchmarks/prepare_folder.py FOLDER

The first makes 2,000 pairs of PNG files of 512x512, grey images and masks of 0 and 255. The second reads and writes
them once with Pillow, as many at a time as there are processors, and then prepares them, each in a process of its own.
Memory is the peak of such a process for all pairs and for the first 200.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

RESULT = Path(__file__).resolve().parent / "results" / "prepare_folder.txt"
N, FEW, SIDE = 2000, 200, 512


def make(folder: Path) -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)

    def make_pair(number: int) -> None:
        rng = np.random.default_rng(number)
        row, column, radius = rng.uniform(100, 400, 3)
        inside = np.hypot(rows - row, columns - column) < radius / 3
        # Noise in the lower bits, as a camera's or a scanner's.
        shade = 60 + 60 * inside + 30 * np.sin(rows / 40) + rng.normal(0, 4, inside.shape)
        Image.fromarray(shade.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"im{number:04d}.png")
        Image.fromarray(inside.astype(np.uint8) * 255).save(folder / "masks" / f"im{number:04d}_mask.png")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make_pair, range(N)))


def copy_with_pillow(folder: Path) -> None:
    def copy(path: Path) -> None:
        with Image.open(path) as image:
            Image.fromarray(np.asarray(image)).save(folder / "copy" / path.name)

    (folder / "copy").mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(copy, [*(folder / "images").iterdir(), *(folder / "masks").iterdir()]))


def run(*command: object) -> tuple[float, float]:
    """Seconds and peak GiB of a process."""
    begun = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[1]} failed")
    return time.perf_counter() - begun, usage.ru_maxrss / 2**20


def prepare(folder: Path, masks: str, images: str) -> tuple[float, float]:
    target = folder / "Dataset599_Benchmark"
    command = "import sys; from swin_umamba.commands.cli import main; sys.exit(main(sys.argv[1:]))"
    measured = run(sys.executable, "-c", command, "prepare", "folder", folder / images, folder / masks, target)
    shutil.rmtree(target)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files are, or with --make are made")
    parser.add_argument("--make", action="store_true", help="make the files")
    parser.add_argument("--copy", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder
    if arguments.make:
        return make(folder)
    if arguments.copy:
        return copy_with_pillow(folder)
    for kind in ("images", "masks"):
        few = folder / f"few_{kind}"
        few.mkdir(exist_ok=True)
        for path in sorted((folder / kind).iterdir())[:FEW]:
            if not (few / path.name).exists():
                os.link(path, few / path.name)
    pillow, _ = run(sys.executable, __file__, folder, "--copy")
    shutil.rmtree(folder / "copy")
    seconds, peak = prepare(folder, "masks", "images")
    _, few_peak = prepare(folder, "few_masks", "few_images")
    lines = [
        "python benchmarks/prepare_folder.py FOLDER",
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
        f"Pillow {version('Pillow')}",
        "",
        f"{N} pairs of {SIDE}x{SIDE}                                 seconds",
        f"Pillow: read and write once                            {pillow:7.1f}",
        f"prepare folder                                         {seconds:7.1f}   {seconds / pillow:.2f} times",
        "",
        "peak memory of prepare folder                              GiB",
        f"{FEW:5} pairs                                            {few_peak:7.3f}",
        f"{N:5} pairs                                            {peak:7.3f}",
    ]
    print("\n".join(lines))
    RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
