#!/usr/bin/env bash
# nnunetv2 2.8.1: nnUNetv2_evaluate_folder and nnUNetv2_evaluate_simple compare the arrays of reference and prediction and nothing else,
# not even their shapes. A prediction that lies elsewhere in the patient scores 1; the right one, saved by a viewer or converter in
# another orientation, scores 0; and one of a single slice is compared with every slice of the volume, all without a word. What to do:
# bring both onto one grid first, and compare size, spacing, origin and direction (SimpleITK's overlap filter refuses such pairs).
#
# Seen, a box of 4 slices: the same array with other voxel sizes, or with a mirrored affine, Dice 1.0; the same organ, at its place, with rows
# stored from the other end, 0.0; the middle slice of the reference alone 0.8, with 360 predicted voxels of the 60 in the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
export nnUNet_raw=$folder nnUNet_preprocessed=$folder nnUNet_results=$folder
cat > compare.py <<'PYTHON'
import json
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder_simple

# The box is in rows 2 to 7 of 20: its mirror image lies elsewhere.
labels = np.zeros((20, 20, 6), np.uint8)
labels[2:8, 5:15, 1:5] = 1
affine = np.diag([1.0, 1, 5, 1])
mirrored = np.diag([-1.0, 1, 5, 1])
mirrored[0, 3] = 19


def score(name, array, affine_of_array):
    path = Path(name) / "case.nii.gz"
    path.parent.mkdir()
    nibabel.save(nibabel.Nifti1Image(array, affine_of_array), path)
    compute_metrics_on_folder_simple("reference", name, [1], num_processes=1)
    summary = json.loads(Path(name, "summary.json").read_text())
    return summary["metric_per_case"][0]["metrics"]["1"]


def refused_by_simpleitk(name):
    pair = [sitk.ReadImage(f"{folder}/case.nii.gz") for folder in ("reference", name)]
    try:
        sitk.LabelOverlapMeasuresImageFilter().Execute(*pair)
    except RuntimeError:
        return True
    return False


def main():
    Path("reference").mkdir()
    nibabel.save(nibabel.Nifti1Image(labels, affine), "reference/case.nii.gz")
    print("nnunetv2", version("nnunetv2"))
    seen = {
        "same": score("same", labels, affine),
        "other_voxels": score("other_voxels", labels, np.diag([3.0, 3, 9, 1])),
        "elsewhere": score("elsewhere", labels, mirrored),
        "other_order": score("other_order", labels[::-1], mirrored),
        "one_slice": score("one_slice", labels[..., 2:3], affine),
    }
    for name, scores in seen.items():
        print(f"{name}: Dice {scores['Dice']:.2f}, {scores['n_pred']} voxels predicted; refused by SimpleITK: {refused_by_simpleitk(name)}")
    assert seen["same"]["Dice"] == 1 and not refused_by_simpleitk("same")
    assert seen["other_voxels"]["Dice"] == seen["elsewhere"]["Dice"] == 1, "changed: the geometry is compared"
    assert seen["other_order"]["Dice"] == 0, "changed: orientations are brought together"
    assert abs(seen["one_slice"]["Dice"] - 0.8) < 1e-9 and seen["one_slice"]["n_pred"] == 360, "changed: shapes are compared"
    assert all(refused_by_simpleitk(name) for name in list(seen)[1:])


if __name__ == "__main__":
    main()
PYTHON
"$folder/venv/bin/python" -W ignore compare.py
