#!/usr/bin/env bash
# nnunetv2 2.8.1: checkpoint_latest.pth is written before the best score of its epoch is noted, so that it holds the best score of the
# epochs before. A training that goes on from it takes a later epoch for the best although it is worse, and overwrites
# checkpoint_best.pth. With the default save_every=50 it needs a new best in epoch 50, 100, ..., as is usual while scores still rise.
#
# Seen: smoothed pseudo Dice of 0.5, 0.54, 0.516. In one go checkpoint_best.pth is of the second epoch (0.54); stopped after it and
# resumed with continue_training's call, of the third (0.516), "Yayy! New best EMA pseudo Dice".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 numpy==2.4.6
cd "$folder"
export nnUNet_raw=$folder/raw nnUNet_preprocessed=$folder/preprocessed nnUNet_results=$folder/results
export nnUNet_compile=false OMP_NUM_THREADS=1
cat > run.py <<'PYTHON'
import contextlib
import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from skimage.io import imsave

NAME = "Dataset001_Squares"
DICE = [0.5, 0.9, 0.3]


class Trainer(nnUNetTrainer):
    """nnU-Net's, with short epochs whose scores are known."""

    last = len(DICE)

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.save_every = len(DICE) + 1, 1
        self.num_iterations_per_epoch = self.num_val_iterations_per_epoch = 1

    def validation_step(self, batch):
        dice = DICE[self.current_epoch]
        return {"loss": np.float32(0), "tp_hard": np.array([dice]), "fp_hard": np.array([1 - dice]), "fn_hard": np.array([1 - dice])}

    def on_epoch_end(self):
        super().on_epoch_end()
        if self.current_epoch == self.last:
            raise KeyboardInterrupt


def train(stop_after, go_on=False):
    folder = Path(os.environ["nnUNet_preprocessed"], NAME)
    plans, dataset = (json.loads((folder / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    plans["continue_training"] = go_on  # as nnUNetv2_train does
    trainer = Trainer(plans, "2d", 0, dataset, torch.device("cpu"))
    trainer.last = stop_after
    if go_on:
        trainer.load_checkpoint(os.path.join(trainer.output_folder, "checkpoint_latest.pth"))
    with contextlib.suppress(KeyboardInterrupt):
        trainer.run_training()
    best = torch.load(os.path.join(trainer.output_folder, "checkpoint_best.pth"), weights_only=False)
    return best["current_epoch"], round(float(best["_best_ema"]), 4)


def main():
    raw = Path(os.environ["nnUNet_raw"], NAME)
    for sub in ("imagesTr", "labelsTr"):
        (raw / sub).mkdir(parents=True)
    for case in range(6):
        image = np.zeros((64, 64), np.uint8)
        image[8 + case : 40, 10:50] = 1
        imsave(raw / f"labelsTr/c{case}.png", image, check_contrast=False)
        noise = np.random.default_rng(case).integers(0, 50, image.shape)
        imsave(raw / f"imagesTr/c{case}_0000.png", (image * 200 + noise).astype(np.uint8), check_contrast=False)
    (raw / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "grey"}, "labels": {"background": 0, "square": 1}, "numTraining": 6, "file_ending": ".png"}))
    with contextlib.redirect_stdout(sys.stderr):
        extract_fingerprints([1], num_processes=1)
        plan_experiments([1])
        preprocess([1], configurations=["2d"], num_processes=[1])
        os.environ["nnUNet_n_proc_DA"] = "0"
        whole = train(len(DICE))
        interrupted, resumed = train(2), train(len(DICE), go_on=True)
    print("nnunetv2", version("nnunetv2"))
    print("checkpoint_best (epoch, smoothed Dice): in one go", whole, "stopped", interrupted, "resumed", resumed)
    assert whole == interrupted == (2, 0.54)
    assert resumed == (3, 0.516), "changed: the best score survives"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
PYTHON
"$folder/venv/bin/python" run.py 2> "$folder/log" || { tail -20 "$folder/log"; exit 1; }
