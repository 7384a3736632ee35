"""What selective scans add to the direct path beside them, before and after a training.

    python benchmarks/scan_share.py results/scan/swin-umamba-d-scratch/fold_* --output docs/results/scan/shares.txt

RUN is the folder of a finished run of Swin-UMamba or Swin-UMamba† on the sample, from random weights. What a block's
2-D scan gives is the sum of what its states give, in four directions, and the skip D x. Printed are, as means over the
runs: per block the norm of the former over that of the latter on the held-out images, with the weights that the run
started from (made again from its seed) and with the trained ones; how far each kind of weight has moved, as a share of
its start; and, with the states left out of the trained network, which is not trained again, how many pixels are
labelled otherwise, and the DSC.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from skimage.io import imread
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.evaluation import dice_coefficient
from swin_umamba.networks.ss2d import SS2D
from swin_umamba.prediction.arrays import predict_arrays
from swin_umamba.prediction.predictor import load_predictor
from swin_umamba.prediction.trained_model import TrainedModel, read_model
from swin_umamba.runs.record import FinishedRun, read_run
from swin_umamba.trainers.registry import TRAINER_CLASSES
from torch import Tensor

import swin_umamba_ext

SCAN_WEIGHTS = ("x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds")


class Recorder:
    """Stands for `swin_umamba_ext.ss2d`, and adds up the squares of both parts of what it returns, by block."""

    def __init__(self, network: torch.nn.Module, leave_out: bool = False) -> None:
        layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, SS2D)]
        if not layers:
            sys.exit("this network has no 2-D scan")
        self.block_of = {id(layer.A_logs): name for name, layer in layers}
        self.squares = {name: np.zeros(2) for name, _ in layers}
        self.leave_out = leave_out
        self.scan = swin_umamba_ext.ss2d

    def __call__(self, x: Tensor, *weights: Tensor) -> Tensor:
        y = self.scan(x, *weights)
        direct = x.float() * weights[-1].float().view(4, -1).sum(0)
        found = [float((part.double() ** 2).sum()) for part in (y - direct, direct)]
        self.squares[self.block_of[id(weights[-2])]] += found
        return direct if self.leave_out else y

    def __enter__(self) -> Recorder:
        swin_umamba_ext.ss2d = self
        return self

    def __exit__(self, *error: object) -> None:
        swin_umamba_ext.ss2d = self.scan

    @property
    def shares(self) -> dict[str, float]:
        return {name: float(np.sqrt(states / direct)) for name, (states, direct) in self.squares.items()}


def starting_weights(model: TrainedModel, seed: int) -> dict[str, Tensor]:
    """What the training started from: the trainer seeds torch in this way before it builds the network."""
    plans = PlansManager(model.plans)
    labels = plans.get_label_manager(model.dataset_json)
    torch.manual_seed(int(np.random.SeedSequence([seed, 0, 0]).generate_state(2)[1]))
    network = TRAINER_CLASSES[model.trainer_name].build_network_architecture(
        plans,
        plans.get_configuration(model.configuration),
        len(model.dataset_json["channel_names"]),
        labels.num_segmentation_heads,
        enable_deep_supervision=True,
    )
    return network.state_dict()


def moved(start: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> dict[str, float]:
    """How far each kind of weight is from its start, over the norm of the start."""
    squares: dict[str, np.ndarray] = {}
    for name, first in start.items():
        last = name.rpartition(".")[-1]
        kind = last if last in SCAN_WEIGHTS else "all others"
        found = [float(((trained[name] - first).double() ** 2).sum()), float((first.double() ** 2).sum())]
        squares[kind] = squares.get(kind, np.zeros(2)) + found
    return {kind: float(np.sqrt(apart / whole)) for kind, (apart, whole) in squares.items()}


def mean_dsc(labels: list[np.ndarray], references: list[np.ndarray], n_classes: int) -> float:
    """Over the cases, of the mean over classes."""
    return float(
        np.mean(
            [
                dice_coefficient(reference == label, found == label)
                for found, reference in zip(labels, references, strict=True)
                for label in range(1, n_classes + 1)
            ]
        )
    )


def measure(run: FinishedRun) -> dict[str, dict[str, float]]:
    """All numbers of a run."""
    model = read_model(run.folder.root)
    trained = model.weights[0]
    start = starting_weights(model, run.record.settings.seed)
    dataset = open_raw_dataset(run.dataset_folder)
    images = [imread(case.images[0]) for case in dataset.held_out]
    references = [imread(case.label) for case in dataset.held_out]
    columns: dict[str, dict[str, float]] = {"moved": moved(start, trained)}
    labels: dict[str, list[np.ndarray]] = {}
    for state, weights, leave_out in (("start", start, False), ("trained", trained, False), ("out", trained, True)):
        weights = {name: weight.clone() for name, weight in weights.items()}
        predictor = load_predictor(
            dataclasses.replace(model, weights=(weights,)), torch.device("cpu"), precision="float32"
        )
        with Recorder(predictor.networks[0], leave_out) as recorder:
            labels[state] = predict_arrays(predictor, images)
        columns[state] = recorder.shares
    others = np.mean([np.mean(a != b) for a, b in zip(labels["trained"], labels["out"], strict=True)])
    dsc = [mean_dsc(labels[state], references, len(dataset.classes)) for state in ("trained", "out")]
    columns["left out"] = {"others": float(others), "with": dsc[0], "without": dsc[1]}
    return columns


def mean_of(runs: list[dict[str, dict[str, float]]], column: str) -> dict[str, float]:
    return {name: float(np.mean([run[column][name] for run in runs])) for name in runs[0][column]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the lines there too")
    arguments = parser.parse_args()
    runs = [read_run(folder) for folder in arguments.runs]
    found = [measure(run) for run in runs]
    settings = runs[0].record.settings
    lines = [
        "python benchmarks/scan_share.py " + " ".join(folder.as_posix() for folder in arguments.runs),
        f"{settings.model}, {settings.epochs * settings.iterations} steps, seeds "
        f"{', '.join(str(run.record.settings.seed) for run in runs)}; means over the runs, in float32",
        "",
        "|states| / |D x| of a block's scan, on the held-out images",
        f"{'':52} {'start':>7} {'trained':>8}",
    ]
    start, trained = mean_of(found, "start"), mean_of(found, "trained")
    lines += [f"{name:52} {start[name]:7.4f} {trained[name]:8.4f}" for name in start]
    lines += ["", "|trained - start| / |start| of the weights"]
    lines += [f"{name:52} {share:7.4f}" for name, share in mean_of(found, "moved").items()]
    left_out = mean_of(found, "left out")
    lines += [
        "",
        "the trained network without the states, not trained again",
        f"{'share of pixels that are labelled otherwise':52} {left_out['others']:7.4f}",
        f"{'DSC with the states, and without':52} {left_out['with']:7.4f} {left_out['without']:8.4f}",
    ]
    print("\n".join(lines))
    if arguments.output is not None:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
