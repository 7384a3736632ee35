"""What docs/prepare-data.md says: the data sets, and the plans of nnU-Net for frames of three sizes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner
from swin_umamba.paper.data_sets import ENDOSCOPY
from swin_umamba.prepare import DATASETS


@pytest.fixture
def planner(tmp_path, monkeypatch):
    """nnU-Net's planner for the paper's 1800 training frames."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed"):
        (tmp_path / name / ENDOSCOPY.name).mkdir(parents=True)
        monkeypatch.setattr(default_experiment_planner, name, str(tmp_path / name))
    raw, preprocessed = (tmp_path / name / ENDOSCOPY.name for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    for kind in ("images", "labels"):
        (raw / f"{kind}Tr").mkdir()
    (raw / "dataset.json").write_text(json.dumps(ENDOSCOPY.dataset_json(1800)))
    fingerprint = {"median_relative_size_after_cropping": 1.0}
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    return default_experiment_planner.ExperimentPlanner(ENDOSCOPY.name)


@pytest.mark.parametrize(
    ("frame", "patch", "batch"),
    [((360, 640), (384, 640), 13), ((1080, 1920), (896, 1536), None), ((1024, 1280), (1024, 1280), None)],
)
def test_patch_and_batch_size_by_size_of_the_frames(planner, frame, patch, batch):
    plan = planner.get_plans_for_configuration(np.ones(2), np.array(frame), "2d", 1800.0 * frame[0] * frame[1], {})
    assert tuple(plan["patch_size"]) == patch
    assert batch in (None, plan["batch_size"])


def test_the_page_has_every_data_set():
    page = (Path(__file__).resolve().parents[2] / "docs" / "prepare-data.md").read_text(encoding="utf-8")
    for name, makes in DATASETS.items():
        assert f"| `{name}` | `{makes.split()[0]}` |" in page
        assert f"swin-umamba prepare {name} " in page
