"""Peak memory of prediction by the size of the image; writes benchmarks/results/<processor>-<kernels>/prediction.txt.

    python benchmarks/prediction.py

Each image is predicted on the CPU in a process of its own, by the sliding window of ``swin-umamba predict`` with
patches of 512x512 side by side (their overlap costs time, not memory) and a network of one 1x1 convolution, so that all
that is measured belongs to the image. The number is the peak of the process less its peak after an image of a single
patch.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from cpu import machine, results_folder
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from skimage.io import imsave
from swin_umamba.prediction.input_cases import find_cases
from swin_umamba.prediction.output_folder import OutputFolder
from swin_umamba.prediction.prediction import predict_cases
from swin_umamba.prediction.sliding_window import SlidingWindowPredictor

PATCH = 512
# side, channels, classes, --probabilities
ROWS = [
    (4096, 1, 3, False),
    (8192, 1, 3, False),
    (4096, 3, 3, False),
    (4096, 3, 8, False),
    (4096, 3, 8, True),
    (20000, 1, 3, False),
]


def make_predictor(channels: int, classes: int) -> SlidingWindowPredictor:
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    functions = {}
    for what in ("data", "seg", "probabilities"):
        functions[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        functions[f"resampling_fn_{what}_kwargs"] = {**resampling, "is_seg": what == "seg"}
    configuration = {
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [PATCH, PATCH],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
        **functions,
    }
    plans = PlansManager(
        {
            "dataset_name": "none",
            "plans_name": "nnUNetPlans",
            "image_reader_writer": "NaturalImage2DIO",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": {str(channel): {} for channel in range(channels)},
            "configurations": {"2d": configuration},
        }
    )
    dataset = {
        "channel_names": {str(channel): "image" for channel in range(channels)},
        "labels": {"background": 0, **{str(label): label for label in range(1, classes)}},
        "file_ending": ".png",
    }
    torch.manual_seed(0)
    network = torch.nn.Conv2d(channels, classes, 1)
    return SlidingWindowPredictor(
        [network],
        plans,
        plans.get_configuration("2d"),
        dataset,
        "none",
        torch.device("cpu"),
        step_size=1.0,
        batch_size=1,
    )


def peak_bytes() -> int:
    """Of this process; what `resource` tells begins with the peak of the one that started it."""
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def measure(folder: Path, channels: int, classes: int, probabilities: bool) -> None:
    """Predict the images of a folder, in a process of its own, and print the bytes that the large one needs."""
    predictor = make_predictor(channels, classes)
    output = OutputFolder(folder / "predictions", probabilities)
    peaks = []
    with output.opened({}, {}, skip_existing=False):
        for name in ("patch", "image"):
            cases, _ = find_cases(folder / f"{name}.png", channels)
            outcome = predict_cases(predictor, cases, output)
            if outcome.failed:
                sys.exit(f"{name} failed: {outcome.failed}")
            peaks.append(peak_bytes())
    print(f"bytes {peaks[1] - peaks[0]}")


def measure_row(row: tuple[int, int, int, bool]) -> int:
    side, channels, _, _ = row
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("patch", PATCH), ("image", side)):
            shape = (size // 16, size // 16) + ((channels,) if channels > 1 else ())
            coarse = rng.integers(0, 256, shape, dtype=np.uint8)
            imsave(Path(folder) / f"{name}.png", coarse.repeat(16, axis=0).repeat(16, axis=1), check_contrast=False)
        command = [sys.executable, __file__, "--row", str(ROWS.index(row)), "--folder", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # The process of one row, which this script starts.
    parser.add_argument("--row", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row is not None:
        measure(arguments.folder, *ROWS[arguments.row][1:])
        return
    lines = [
        "python benchmarks/prediction.py",
        f"{machine()}, nnunetv2 {version('nnunetv2')}",
        "",
        "image       channels  classes  probabilities  peak GiB  bytes per pixel",
    ]
    print("\n".join(lines))
    for row in ROWS:
        side, channels, classes, probabilities = row
        size, written = f"{side}x{side}", "yes" if probabilities else "no"
        peak = measure_row(row)
        gib, each = peak / 2**30, peak / side**2
        lines.append(f"{size:11} {channels:8} {classes:8}  {written:13} {gib:9.2f} {each:16.1f}")
        print(lines[-1], flush=True)
        results_folder().mkdir(parents=True, exist_ok=True)
        (results_folder() / "prediction.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
