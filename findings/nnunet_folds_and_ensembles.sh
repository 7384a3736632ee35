#!/usr/bin/env bash
# nnunetv2 2.8.1 puts networks together in two ways: nnUNetv2_predict -f 0 1 2 averages the logits of the folds and takes the softmax of the
# mean, nnUNetv2_ensemble (and the choice by nnUNetv2_find_best_configuration) averages probabilities, as nnU-Net's paper says. In the
# first a single fold that is very sure outvotes all others. So the same three networks give two label maps, depending on the
# command. What to do: for the paper's ensemble predict each fold with --save_probabilities, then nnUNetv2_ensemble.
#
# Seen, three folds whose logits of foreground less background are 1, 1 and -3: each alone 1, 1, 0; predicted together 0 (mean logit
# -0.33); the ensemble of the three 1 (mean probability 0.50).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 numpy==2.4.6
cd "$folder"
export nnUNet_raw=$folder nnUNet_preprocessed=$folder nnUNet_results=$folder
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import torch
from nnunetv2.ensembling.ensemble import average_probabilities
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

description = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
configuration = {"patch_size": [16, 16], "architecture": {}}
plans = PlansManager({"plans_name": "plans", "configurations": {"2d": configuration}, "label_manager": "LabelManager"})
network = torch.nn.Conv2d(1, 2, 1)


def fold(logit):
    """The weights of a network that gives every pixel this logit of foreground less background."""
    return {"weight": torch.zeros(2, 1, 1, 1), "bias": torch.tensor([0.0, logit])}


def predict(*folds):
    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, perform_everything_on_device=False, allow_tqdm=False)
    predictor.manual_initialization(network, plans, plans.get_configuration("2d"), list(folds), description, "nnUNetTrainer", None)
    return predictor.predict_logits_from_preprocessed_data(torch.zeros(1, 1, 16, 16)).float(), predictor.label_manager


def only(labels):
    (label,) = np.unique(labels).tolist()
    return label


folds = [fold(logit) for logit in (1.0, 1.0, -3.0)]
files, alone = [], []
for number, weights in enumerate(folds):
    logits, labels = predict(weights)
    probabilities = labels.apply_inference_nonlin(logits).numpy()
    files.append(f"fold_{number}.npz")
    np.savez_compressed(files[-1], probabilities=probabilities)  # as --save_probabilities does
    alone.append(only(labels.convert_probabilities_to_segmentation(probabilities)))
logits, labels = predict(*folds)
together = only(labels.convert_logits_to_segmentation(logits))
probabilities = average_probabilities(files)
ensemble = only(labels.convert_probabilities_to_segmentation(probabilities))
print("nnunetv2", version("nnunetv2"), "alone:", alone)
print(f"predicted together: {together}, logit {float((logits[1] - logits[0]).mean()):.2f}")
print(f"ensemble: {ensemble}, probability {float(probabilities[1].mean()):.3f}")
assert alone == [1, 1, 0] and ensemble == 1
assert together == 0, "changed: folds are averaged as probabilities"
PYTHON
