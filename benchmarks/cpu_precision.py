"""What bfloat16 on the CPU does to a training and to predictions: the sample in float32 and in bfloat16.

    python benchmarks/cpu_precision.py FOLDER

Trains Swin-UMamba† on the sample data set (`swin-umamba train`) with three seeds in float32 and with the first of them
in bfloat16, minutes each, into FOLDER/<precision>-<seed>; runs that are finished there are taken as they are. Writes
benchmarks/results/<processor>-<kernels>/cpu_precision.txt:

curves       losses of each epoch in bfloat16, and the least and largest of the float32 seeds
scores       mean DSC of the held-out cases of each run
predictions  the held-out images by the weights of the first seed in both precisions: share of equal pixels, difference
             in DSC
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from cpu import machine, results_folder
from skimage.io import imread

SEEDS = (0, 1, 2)
RUNS = [*(("float32", seed) for seed in SEEDS), ("bfloat16", SEEDS[0])]
CURVES = {"train_loss": "training loss", "validation_loss": "validation loss"}


def command(*arguments: object) -> None:
    program = "import sys; from swin_umamba.commands.cli import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True)


def train(folder: Path, precision: str, seed: int) -> Path:
    run = folder / f"{precision}-{seed}"
    if not (run / "metrics.json").exists():
        resume = ["--resume"] if (run / "settings.json").exists() else []
        amp = {"float32": "off", "bfloat16": "bfloat16"}[precision]
        command("train", "--device", "cpu", "--amp", amp, "--seed", seed, "--output", run, *resume)
    return run


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def score(run: Path) -> float:
    return metrics(run)["held_out"]["dsc"]["mean"]


def curve_lines(runs: dict[tuple[str, int], Path]) -> list[str]:
    lines = []
    for key, title in CURVES.items():
        float32 = np.array([metrics(runs["float32", seed])["training"][key] for seed in SEEDS])
        bfloat16 = np.array(metrics(runs["bfloat16", SEEDS[0]])["training"][key])
        low, high = float32.min(0), float32.max(0)
        outside = np.maximum(np.maximum(low - bfloat16, bfloat16 - high), 0)
        lines.append(
            f"{title}, epoch | float32, least and largest of {len(SEEDS)} seeds | bfloat16 | same seed, float32"
        )
        for epoch in range(len(bfloat16)):
            where = "" if outside[epoch] == 0 else f", {outside[epoch]:.4f} outside"
            lines.append(
                f"{epoch + 1} | {low[epoch]:.4f} {high[epoch]:.4f} | {bfloat16[epoch]:.4f}{where} | "
                f"{float32[0, epoch]:.4f}"
            )
        lines.append(
            f"inside in {np.sum(outside == 0)} of {len(outside)} epochs; farthest outside {outside.max():.4f}, where "
            f"the seeds are {np.mean(high - low):.4f} apart on average"
        )
        lines.append("")
    return lines


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Mean over the labels of the reference."""
    scores = []
    for label in np.unique(reference)[1:]:
        a, b = prediction == label, reference == label
        scores.append(2 * np.sum(a & b) / (np.sum(a) + np.sum(b)))
    return float(np.mean(scores))


def prediction_line(run: Path) -> str:
    """Both predictions of the held-out images by a run's checkpoint."""
    raw = next((run / "nnUNet_raw").iterdir())
    outputs = {}
    for precision in ("float32", "bfloat16"):
        outputs[precision] = run / f"predicted_in_{precision}"
        arguments = ("--checkpoint", run / "checkpoint.pth", "--precision", precision, "--device", "cpu")
        command("predict", raw / "imagesTs", outputs[precision], *arguments, "--skip-existing")
    equal, differences = [], []
    for path in sorted((raw / "labelsTs").iterdir()):
        reference = imread(path)
        full, half = (imread(outputs[precision] / path.name) for precision in outputs)
        equal.append(np.mean(full == half))
        differences.append(dice(half, reference) - dice(full, reference))
    return (
        f"{run.name} | {np.mean(equal):.5%}, least of {len(equal)} images {min(equal):.4%} | "
        f"{np.mean(differences):+.6f}, largest of an image {max(differences, key=abs):+.5f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the runs; some GiB")
    arguments = parser.parse_args()
    header = machine()
    runs = {case: train(arguments.folder, *case) for case in RUNS}
    lines = ["python benchmarks/cpu_precision.py FOLDER", header, "", *curve_lines(runs)]
    float32 = [score(runs["float32", seed]) for seed in SEEDS]
    bfloat16 = score(runs["bfloat16", SEEDS[0]])
    lines.append("held-out DSC | float32 by seed | bfloat16 | same seed, difference")
    by_seed = ", ".join(f"{value:.4f}" for value in float32)
    lines.append(f"mean of the cases | {by_seed} | {bfloat16:.4f} | {bfloat16 - float32[0]:+.4f}")
    lines += ["", "weights of | equal pixels of predictions in bfloat16 and float32 | difference in DSC"]
    lines += [prediction_line(runs[case]) for case in runs if case[1] == SEEDS[0]]
    text = "\n".join(lines) + "\n"
    print(text)
    results_folder().mkdir(parents=True, exist_ok=True)
    (results_folder() / "cpu_precision.txt").write_text(text)


if __name__ == "__main__":
    main()
