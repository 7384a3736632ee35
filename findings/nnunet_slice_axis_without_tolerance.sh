#!/usr/bin/env bash
# nnunetv2 2.8.1: the planner makes the axis with the largest median spacing the first, the one that 2-D configurations slice
# along, without any tolerance. Spacings that come from a float32 header, 1.0 and 1.0000001 mm, so turn the slices of an
# isotropic data set: a network trained "axially" sees sagittal slices, and nothing says so.
#
# Seen: transpose_forward [0, 1, 2] for spacings of (1, 1, 1), [2, 0, 1] for (1, 1, 1.0000001), and the 2-D patch for
# volumes of 40x120x160 changes from 128x160 to 40x128.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 numpy==2.4.6 SimpleITK==2.5.7
cd "$folder"
export nnUNet_raw=$folder/raw nnUNet_preprocessed=$folder/preprocessed nnUNet_results=$folder/results
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import json
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

raw, preprocessed = Path("raw/Dataset001_Cube"), Path("preprocessed/Dataset001_Cube")
for path in (raw / "imagesTr", raw / "labelsTr", preprocessed):
    path.mkdir(parents=True)
shape = (40, 120, 160)
for case in range(2):
    for folder, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros(shape, np.uint8)), raw / folder / f"case{case}{ending}.nii.gz")
(raw / "dataset.json").write_text(json.dumps({
    "channel_names": {"0": "MR"}, "labels": {"background": 0, "core": 1}, "numTraining": 2, "file_ending": ".nii.gz"}))
intensities = {key: 0.0 for key in ("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std")}


def plan(spacing):
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps({
        "spacings": [spacing] * 2, "shapes_after_crop": [shape] * 2,
        "foreground_intensity_properties_per_channel": {"0": intensities}, "median_relative_size_after_cropping": 1.0}))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        plans = ExperimentPlanner(1).plan_experiment()
    return plans["transpose_forward"], plans["configurations"]["2d"]["patch_size"]


equal, nearly = plan([1.0, 1.0, 1.0]), plan([1.0, 1.0, 1.0000001])
print("nnunetv2", version("nnunetv2"), "equal spacings:", *equal, "last larger by 1e-7:", *nearly)
assert [int(axis) for axis in equal[0]] == [0, 1, 2]
assert [int(axis) for axis in nearly[0]] == [2, 0, 1], "changed: there is a tolerance"
PYTHON
