#!/usr/bin/env bash
# A class that is neither in the reference nor in the prediction, as a lesion in most images, has a score that differs from library to
# library and within one: MedPy 0.5.2 gives Dice NaN and Jaccard 1 for one pair of masks; SimpleITK 2.5.7 Dice 0 for such a label and,
# of two empty images, infinity; torchmetrics 1.9.0 NaN (dice_score), -1 (mean_iou by class) and 0 (f1 and jaccard by class);
# scikit-learn 1.9.1 0; MONAI 1.6.1 NaN for Dice, 1 for the generalised Dice; kornia 0.9.0 1. Means of a data set take these in; of
# them nanmean leaves out only NaN. What to do: decide what it is, write it down, and fill it in before the mean.
#
# Seen, an image of classes 0 and 1, predicted perfectly, scores of class 2; two empty masks for MedPy and SimpleITK.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 torchmetrics==1.9.0 kornia==0.9.0 medpy==0.5.2 SimpleITK==2.5.7 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk
import sklearn.metrics
import torch
from kornia.metrics import mean_iou
from medpy.metric import binary
from monai.metrics import compute_dice, compute_generalized_dice
from torchmetrics.functional import classification, segmentation

empty = np.zeros((8, 8), np.uint8)
labels = torch.zeros(1, 8, 8, dtype=torch.long)
labels[:, :4] = 1
one_hot = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
index = {"num_classes": 3, "input_format": "index"}


def by_simpleitk(image, *label):
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.GlobalWarningDisplayOff()
    overlap.Execute(image, image)
    return overlap.GetDiceCoefficient(*label)


def last(scores):
    return scores.flatten()[-1].item()


empty_image, image = sitk.GetImageFromArray(empty), sitk.GetImageFromArray(labels[0].numpy().astype(np.uint8))
flat = labels.flatten().numpy()
scores = {
    "medpy": {"Dice": float(binary.dc(empty, empty)), "Jaccard": float(binary.jc(empty, empty))},
    "SimpleITK": {"Dice": by_simpleitk(image, 2), "Dice of two empty images": by_simpleitk(empty_image)},
    "torchmetrics": {
        "dice_score": last(segmentation.dice_score(labels, labels, average=None, **index)),
        "mean_iou": last(segmentation.mean_iou(labels, labels, per_class=True, **index)),
        "f1": last(classification.multiclass_f1_score(labels, labels, 3, average=None)),
        "jaccard": last(classification.multiclass_jaccard_index(labels, labels, 3, average=None)),
    },
    "scikit-learn": {"f1": float(sklearn.metrics.f1_score(flat, flat, labels=[0, 1, 2], average=None)[2])},
    "monai": {
        "Dice": last(compute_dice(one_hot, one_hot, include_background=True)),
        "generalised Dice": last(compute_generalized_dice(one_hot, one_hot, include_background=True, sum_over_classes=False)),
    },
    "kornia": {"mean_iou": last(mean_iou(labels, labels, 3))},
}
seen = {
    "medpy": [math.nan, 1],
    "SimpleITK": [0, math.inf],
    "torchmetrics": [math.nan, -1, 0, 0],
    "scikit-learn": [0],
    "monai": [math.nan, 1],
    "kornia": [1],
}
for name, found in scores.items():
    print(name, version(name), found)
    np.testing.assert_allclose(list(found.values()), seen[name], err_msg=f"changed: {name}")
PYTHON
