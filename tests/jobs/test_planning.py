"""The planned batch size and the processes that share it, with stand-ins for nnU-Net's planner and preprocessor."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from swin_umamba.common.files import write_json
from swin_umamba.jobs import planning
from swin_umamba.networks.build import build_model
from swin_umamba.runs.folder import RunFolder
from swin_umamba.runs.settings import Settings

PLANNED = 13
DATASET = SimpleNamespace(name="Dataset901_Discs", training=range(20), description={}, groups=None, digests=None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    (folder.preprocessed / "Dataset901_Discs").mkdir(parents=True)
    plans = {"configurations": {"2d": {"batch_size": PLANNED, "patch_size": [320, 320]}}}
    plans_file = folder.preprocessed / "Dataset901_Discs" / "nnUNetPlans.json"

    def stand_in(*args, **options):
        return SimpleNamespace(
            run=lambda *a, **o: None,
            plan_experiment=lambda: write_json(plans_file, plans),
            determine_fullres_target_spacing=lambda: (999, 1, 1),
        )

    for name in ("DatasetFingerprintExtractor", "ExperimentPlanner", "Preprocessor"):
        monkeypatch.setattr(planning, name, stand_in)
    monkeypatch.setattr(planning, "default_num_processes", 8)
    return folder


@pytest.mark.parametrize(("processes", "expected"), [(1, 13), (2, 14), (4, 16)])
def test_a_planned_batch_is_rounded_up_for_the_training_processes_only(folder, processes, expected):
    plans = planning.plan_and_preprocess(DATASET, folder, Settings(dataset="x"), processes)
    assert plans["configurations"]["2d"]["batch_size"] == expected


def test_a_batch_that_was_given_is_kept(folder):
    plans = planning.plan_and_preprocess(DATASET, folder, Settings(dataset="x", batch_size=6), 2)
    assert plans["configurations"]["2d"]["batch_size"] == 6


@pytest.mark.parametrize(
    ("spacing", "axis", "said"),
    [
        ((5, 0.8, 0.8), 0, "third axis of the files, which is the longest side of a voxel (0.8 × 0.8 × 5"),
        ((0.8, 0.8, 5), 2, "first axis of the files, which is the longest side of a voxel (5 × 0.8 × 0.8"),
        ((1, 1, 1.0000001), 0, "third axis of the files, which is to 1% the longest side of a voxel (1 × 1 × 1"),
        ((1, 1.02, 1), 1, "second axis of the files, which is the longest side of a voxel (1 × 1.02 × 1"),
    ],
)
def test_volumes_are_sliced_along_their_longest_side_to_a_hundredth(folder, monkeypatch, spacing, axis, said):
    class Planner(ExperimentPlanner):
        def __init__(self, name):
            self.suppress_transpose = False

        def determine_fullres_target_spacing(self):
            return np.array(spacing)

        def plan_experiment(self):
            forward, backward = self.determine_transpose()
            plans = {
                "transpose_forward": [int(i) for i in forward],
                "transpose_backward": [int(i) for i in backward],
                "original_median_spacing_after_transp": [spacing[i] for i in forward],
                "original_median_shape_after_transp": [12, 40, 40],
                "configurations": {"2d": {"batch_size": 2, "patch_size": [32, 32]}},
            }
            write_json(folder.preprocessed / "Dataset901_Discs" / "nnUNetPlans.json", plans)

    monkeypatch.setattr(planning, "ExperimentPlanner", Planner)
    plans = planning.plan_and_preprocess(DATASET, folder, Settings(dataset="x"))
    assert plans["transpose_forward"][0] == axis
    assert said in planning.describe_slices(plans)
    assert planning.describe_slices({**plans, "original_median_shape_after_transp": [1, 40, 40]}) is None


PLAN = """
import sys
from pathlib import Path
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.runs.folder import RunFolder, enter_environment
from swin_umamba.runs.settings import Settings

data, folder = Path(sys.argv[1]), RunFolder(Path(sys.argv[2]))
enter_environment(data.parent, folder)
from swin_umamba.jobs.planning import plan_and_preprocess

for model in sys.argv[3:]:
    plan_and_preprocess(open_raw_dataset(data), folder, Settings(dataset=str(data), model=model))
"""


def test_presets_are_planned_by_nnunets_planners_beside_each_other(discs, tmp_path):
    """And the network is the one that nnU-Net would build by these plans."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    script = [sys.executable, "-c", PLAN, str(discs), str(tmp_path), "nnunet-resenc-l", "nnunet", "nnunet-resenc-m"]
    subprocess.run(script, check=True, capture_output=True, timeout=600)
    preprocessed = tmp_path / "nnUNet_preprocessed" / discs.name
    assert [path.name for path in preprocessed.iterdir() if path.is_dir()] == ["nnUNetPlans_2d"]
    names = {
        "nnunet": "nnUNetPlans",
        "nnunet-resenc-m": "nnUNetResEncUNetMPlans",
        "nnunet-resenc-l": "nnUNetResEncUNetLPlans",
    }
    plans = {model: json.loads((preprocessed / f"{name}.json").read_text()) for model, name in names.items()}
    configurations = {model: plan["configurations"]["2d"] for model, plan in plans.items()}
    # The default planner takes no more than 5 % of a data set into one batch, the presets take all of it.
    assert {model: found["batch_size"] for model, found in configurations.items()} == {
        "nnunet": 2,
        "nnunet-resenc-m": 6,
        "nnunet-resenc-l": 6,
    }
    planned = configurations["nnunet-resenc-m"]
    architecture = planned["architecture"]
    theirs = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        1,
        3,
        deep_supervision=True,
    )
    own = build_model("nnunet-resenc-m", 1, 3, tuple(planned["patch_size"]))
    own.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 1, *planned["patch_size"])
    with torch.no_grad():
        for mine, wanted in zip(own(x), theirs(x), strict=True):
            torch.testing.assert_close(mine, wanted)
