#!/usr/bin/env bash
# nnunetv2 2.8.1: nnUNetv2_find_best_configuration prefers a model that invents a structure to one that does not. The Dice of a class that
# is in no validation case and in no prediction is NaN, and with it the mean over the classes; one invented voxel makes it 0. Of a
# number and NaN the larger is, by Python's max, whatever stands first. It needs a class that no validation case has: a rare one with
# -f 0, or one that dataset.json names and the data lack.
#
# Seen: 3d_fullres finds every voxel (mean Dice NaN), 2d misses half of them and invents one of the absent class (0.33).
# Best of "-c 2d 3d_fullres": 2d. Of "-c 3d_fullres 2d", and of 3d_fullres alone: "IndexError: list index out of range".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 numpy==2.4.6 SimpleITK==2.5.7
cd "$folder"
export nnUNet_raw=$folder/raw nnUNet_preprocessed=$folder/preprocessed nnUNet_results=$folder/results
"$folder/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import numpy as np
import SimpleITK

name = "Dataset001_Rare"
configuration = {"architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []}}
plans = json.dumps({"dataset_name": name, "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO", "label_manager": "LabelManager",
                    "configurations": {"2d": configuration, "3d_fullres": configuration}})
dataset = json.dumps({"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1, "metastasis": 2}, "numTraining": 3, "file_ending": ".nii.gz"})
reference = np.zeros((3, 4, 16, 16), np.uint8)
reference[:, :, 2:8, 2:8] = 1
poor = reference.copy()
poor[:, :, 5:8] = 0
poor[0, 0, 12, 12] = 2


def save(folder, cases):
    folder.mkdir(parents=True)
    for case, labels in enumerate(cases):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(labels), folder / f"case{case}.nii.gz")


save(Path("preprocessed") / name / "gt_segmentations", reference)
(Path("preprocessed") / name / "nnUNetPlans.json").write_text(plans)
(Path("raw") / name).mkdir(parents=True)
for key, predictions in (("2d", poor), ("3d_fullres", reference)):
    model = Path("results") / name / f"nnUNetTrainer__nnUNetPlans__{key}"
    save(model / "fold_0" / "validation", predictions)
    (model / "plans.json").write_text(plans)
    (model / "dataset.json").write_text(dataset)
PYTHON
best() { "$folder/venv/bin/nnUNetv2_find_best_configuration" 1 -f 0 -np 1 --disable_ensembling -c "$@" >log 2>&1 || true; grep -E '^nnUNetTrainer__|^\*Best\*|^IndexError' log; }
for order in "2d 3d_fullres" "3d_fullres 2d" "3d_fullres"; do
    echo "== -c $order"
    # shellcheck disable=SC2086
    best $order | tee found
    case $order in
        2d*) grep -q '^\*Best\*: nnUNetTrainer__nnUNetPlans__2d: 0.33' found || { echo "changed: no longer the poor one"; exit 1; } ;;
        *) grep -q '^IndexError: list index out of range' found || { echo "changed: no longer an IndexError"; exit 1; } ;;
    esac
    grep -q '3d_fullres: nan' found || [ "${order#2d}" = "$order" ] || { echo "changed: no longer NaN"; exit 1; }
done
