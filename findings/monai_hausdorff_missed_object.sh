#!/usr/bin/env bash
# monai 1.6.1: HausdorffDistanceMetric gives infinity for a structure that the prediction misses, but NaN as soon as a
# percentile is asked for, as the usual HD95 does; and the aggregate leaves NaN out. So the mean HD95 of a data set
# gets better when a badly segmented structure is removed from the prediction altogether.
#
# Seen: without a percentile inf; with percentile=95, and with 100, nan. Mean HD95 of two cases of 1.0 and 20.0 is 10.5;
# with the second prediction empty it is 1.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import math

import monai
import torch
from monai.metrics import HausdorffDistanceMetric

reference = torch.zeros(1, 1, 64, 64)
reference[..., 10:20, 10:20] = 1
near, far = reference.roll(1, -1), reference.roll(20, -1)
empty = torch.zeros_like(reference)


def mean(percentile, *predictions):
    metric = HausdorffDistanceMetric(include_background=True, percentile=percentile)
    for prediction in predictions:
        metric(prediction, reference)
    return metric.aggregate().item()


print("monai", monai.__version__, "torch", torch.__version__)
missed = {percentile: mean(percentile, empty) for percentile in (None, 95, 100)}
single = {percentile: HausdorffDistanceMetric(percentile=percentile, include_background=True)(empty, reference).item()
          for percentile in (None, 95, 100)}
both, without = mean(95, near, far), mean(95, near, empty)
print("a missed structure, by percentile:", single, "alone in the aggregate:", missed)
print(f"mean HD95: a poor prediction counted {both:g}, the same one empty {without:g}")
assert math.isinf(single[None]), "changed: no longer infinite without a percentile"
assert math.isnan(single[95]) and math.isnan(single[100]), "changed: no longer NaN with a percentile"
assert without < both, "changed: a missed structure counts in the mean"
PYTHON
