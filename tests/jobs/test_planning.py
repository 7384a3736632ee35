"""The planned batch size and the processes that share it, with stand-ins for nnU-Net's planner and preprocessor."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from swin_umamba.common.files import write_json
from swin_umamba.jobs import planning
from swin_umamba.runs.folder import RunFolder
from swin_umamba.runs.settings import Settings

PLANNED = 13


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    (folder.preprocessed / "Dataset901_Discs").mkdir(parents=True)
    plans = {"configurations": {"2d": {"batch_size": PLANNED, "patch_size": [320, 320]}}}
    plans_file = folder.preprocessed / "Dataset901_Discs" / "nnUNetPlans.json"

    def stand_in(*args, **options):
        return SimpleNamespace(run=lambda *a, **o: None, plan_experiment=lambda: write_json(plans_file, plans))

    for name in ("DatasetFingerprintExtractor", "ExperimentPlanner", "DefaultPreprocessor"):
        monkeypatch.setattr(planning, name, stand_in)
    monkeypatch.setattr(planning, "default_num_processes", 8)
    return folder


@pytest.mark.parametrize(("processes", "expected"), [(1, 13), (2, 14), (4, 16)])
def test_a_planned_batch_is_rounded_up_for_the_training_processes_only(folder, processes, expected):
    dataset = SimpleNamespace(name="Dataset901_Discs", training=range(20))
    plans = planning.plan_and_preprocess(dataset, folder, Settings(dataset="x"), processes)
    assert plans["configurations"]["2d"]["batch_size"] == expected


def test_a_batch_that_was_given_is_kept(folder):
    dataset = SimpleNamespace(name="Dataset901_Discs", training=range(20))
    plans = planning.plan_and_preprocess(dataset, folder, Settings(dataset="x", batch_size=6), 2)
    assert plans["configurations"]["2d"]["batch_size"] == 6
