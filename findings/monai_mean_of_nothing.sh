#!/usr/bin/env bash
# monai 1.6.1: a metric that has no value at all, of a structure that is in no reference and no prediction, is 0 in the aggregate,
# not NaN: the worst Dice that there is, and a perfect surface distance and HD95. It stands beside real means in the same table
# (reduction "mean_batch", one number for each class) and goes into the mean over classes.
#
# Seen: three cases, first structure found exactly, second in none of them. Dice 1 and 0, their mean over all 1; surface distance
# and HD95 0 and 0, where each single value of the second is NaN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import monai
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric

warnings.simplefilter("ignore")
labels = torch.zeros(1, 2, 32, 32)
labels[:, 0, 8:20, 8:20] = 1  # the second structure is nowhere
metrics = {
    "Dice": DiceMetric(reduction="mean_batch"),
    "surface Dice": SurfaceDiceMetric([1.0, 1.0], include_background=True, reduction="mean_batch"),
    "surface distance": SurfaceDistanceMetric(include_background=True, symmetric=True, reduction="mean_batch"),
    "HD95": HausdorffDistanceMetric(include_background=True, percentile=95, reduction="mean_batch"),
}
print("monai", monai.__version__)
for name, metric in metrics.items():
    single = [metric(labels, labels) for _ in range(3)]
    assert all(values.isnan().tolist() == [[False, True]] for values in single), f"changed: {name} of a single case"
    mean = metric.aggregate().tolist()
    print(f"{name:18}single {single[0].tolist()[0]}, mean over the cases {mean}")
    assert mean[1] == 0, f"changed: the mean {name} of nothing"
    assert mean[0] == (1 if "Dice" in name else 0)
PYTHON
