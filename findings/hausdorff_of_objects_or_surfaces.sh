#!/usr/bin/env bash
# One pair of masks, two Hausdorff distances: SimpleITK 2.5.7 and scikit-image 0.26.0 measure between all voxels of the two objects, MONAI
# 1.6.1 and MedPy 0.5.2 between their surfaces. Where an object has a hole, the first measure from the middle of the hole, the others
# from its edge. The averages differ as well (GetAverageHausdorffDistance and method="modified"; average symmetric surface distance):
# voxels inside both objects are 0 away, so that by the first the same error counts the less the larger the organ is.
# What to do: say which one it is, and compare only numbers of the same.
#
# Seen: a disc of radius 50 against the same with a hole of radius 30, Hausdorff distance 30.0 by SimpleITK and scikit-image, 19.2 by MONAI
# and MedPy. Averages of discs shifted by 5 pixels: radius 50, 0.15 and 3.03; radius 10, 0.80 and 2.95.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 medpy==0.5.2 scikit-image==0.26.0 SimpleITK==2.5.7 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk
import torch
from medpy.metric import binary
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from skimage.metrics import hausdorff_distance

rows, columns = np.mgrid[:128, :128]
distance = np.hypot(rows - 64, columns - 64)
large, small = distance < 50, distance < 10


def measures(prediction, reference):
    """Average and maximum by each library."""
    by_simpleitk = sitk.HausdorffDistanceImageFilter()
    by_simpleitk.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (prediction, reference)))
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
    return {
        "SimpleITK": (by_simpleitk.GetAverageHausdorffDistance(), by_simpleitk.GetHausdorffDistance()),
        "scikit-image": (hausdorff_distance(prediction, reference, "modified"), hausdorff_distance(prediction, reference)),
        "MONAI": (
            compute_average_surface_distance(*tensors, symmetric=True, include_background=True).item(),
            compute_hausdorff_distance(*tensors, include_background=True).item(),
        ),
        "MedPy": (binary.assd(prediction, reference), binary.hd(prediction, reference)),
    }


print(*(f"{name} {version(name)}" for name in ("SimpleITK", "scikit-image", "monai", "medpy")))
shifted_large, shifted_small = measures(np.roll(large, 5, 0), large), measures(np.roll(small, 5, 0), small)
hole = measures(large & (distance >= 30), large)
for name in hole:
    print(
        f"{name}: average of a large disc {shifted_large[name][0]:.2f}, of a small one {shifted_small[name][0]:.2f};"
        f" maximum of both {shifted_large[name][1]:.1f} and {shifted_small[name][1]:.1f}, with a hole {hole[name][1]:.1f}"
    )
    averages = (0.15, 0.80, 30.0) if name in ("SimpleITK", "scikit-image") else (3.03, 2.95, 19.2)
    found = (shifted_large[name][0], shifted_small[name][0], hole[name][1])
    np.testing.assert_allclose(found, averages, atol=0.05, err_msg=f"changed: {name}")
    assert abs(shifted_large[name][1] - 5) < 1e-3 and abs(shifted_small[name][1] - 5) < 1e-3
PYTHON
