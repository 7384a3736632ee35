"""Files that nnU-Net alone would read otherwise, or not at all, are trained on as they are scored."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
from swin_umamba.evaluation import evaluate_folders

ONE_STEP = ("--epochs", "1", "--iterations", "1", "--batch-size", "2", "--patch-size", "32", "32", "--device", "cpu")


@pytest.mark.slow
def test_flat_nifti_in_micrometres_with_channels_in_another_order(train_py, tmp_path):
    folder = tmp_path / "Dataset905_Odd"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for case in range(5):
        label = np.zeros((40, 36), np.uint8)
        label[10:30, 8 + case : 20] = 1
        label[15:20, 10 + case : 18] = 2
        for channel in range(2):
            _write(folder / "imagesTr" / f"c{case}_000{channel}.nii", (label * 80 + rng.normal(0, 8, label.shape)))
        _write(folder / "labelsTr" / f"c{case}.nii", label)
    for path in [*folder.glob("*/*.nii")]:
        path.with_name(f"._{path.name}").write_bytes(b"written by another system")
    description = {
        "channel_names": {"1": "noNorm", "0": "CT"},
        "labels": {"background": "0", "a": "1", "b": "2"},
        "numTraining": 5,
        "file_ending": ".nii",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    done = train_py.run(folder, "--model", "nnunet", *ONE_STEP, "--output", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plans = json.loads(next((tmp_path / "run").rglob("nnUNetPlans.json")).read_text())
    assert plans["image_reader_writer"] == "SimpleITKIO"
    configuration = plans["configurations"]["2d"]
    assert configuration["normalization_schemes"] == ["CTNormalization", "NoNormalization"]
    np.testing.assert_allclose(configuration["spacing"], (0.7, 0.5), rtol=1e-6)
    (predicted,) = (tmp_path / "run" / "predictions").glob("*.nii")
    shutil.copy(folder / "labelsTr" / predicted.name, tmp_path)
    assert evaluate_folders(tmp_path / predicted.name, predicted, "labels").cases


def _write(path, array):
    image = nibabel.Nifti1Image(
        array.astype(np.float32 if array.dtype == float else np.uint8), np.diag([500, 700, 1, 1])
    )
    image.header.set_xyzt_units("micron")
    nibabel.save(image, path)
