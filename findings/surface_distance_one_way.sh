#!/usr/bin/env bash
# monai 1.6.1: SurfaceDistanceMetric and compute_average_surface_distance, "average surface distance", go one way by default, from the
# prediction to the reference. What is missed costs nothing: of two lesions one found exactly is a distance of 0, and removing every
# uncertain part of a prediction makes the score better. MedPy 0.5.2's asd is the same, its assd goes both ways.
# HausdorffDistanceMetric goes both ways by default. What to do: symmetric=True, and assd.
#
# Seen, two lesions 40 pixels apart, the first predicted exactly, the second missed: MONAI 0.0, MedPy's asd 0.0; with symmetric=True and
# assd 12.2; the Hausdorff distance 40. The other way round, the second lesion invented: 18.2 one way and 12.2 both ways.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 medpy==0.5.2 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import torch
from medpy.metric import binary
from monai.metrics import HausdorffDistanceMetric, SurfaceDistanceMetric

one = np.zeros((64, 64), bool)
one[4:12, 4:12] = True
both = one | np.roll(one, 40, axis=0)


def by_monai(metric, prediction, reference, **options):
    masks = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference))
    return metric(include_background=True, **options)(*masks).item()


print(*(f"{name} {version(name)}" for name in ("monai", "medpy")))
found = {}
for name, prediction, reference in (("a lesion missed", one, both), ("a lesion invented", both, one)):
    one_way = by_monai(SurfaceDistanceMetric, prediction, reference), float(binary.asd(prediction, reference))
    both_ways = by_monai(SurfaceDistanceMetric, prediction, reference, symmetric=True), float(binary.assd(prediction, reference))
    hausdorff = by_monai(HausdorffDistanceMetric, prediction, reference)
    print(f"{name}: MONAI {one_way[0]:.1f}, symmetric {both_ways[0]:.1f}; MedPy {one_way[1]:.1f}, {both_ways[1]:.1f}; Hausdorff {hausdorff:.1f}")
    found[name] = (*one_way, *both_ways, hausdorff)

missed, invented = found.values()
np.testing.assert_allclose(missed[2:], [12.2, 12.2, 40], atol=0.05)
np.testing.assert_allclose(invented, [18.2, 18.2, 12.2, 12.2, 40], atol=0.05, err_msg="changed: an invented lesion")
assert missed[:2] == (0, 0), "changed: a missed lesion counts"
PYTHON
