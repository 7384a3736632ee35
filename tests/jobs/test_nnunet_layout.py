"""What nnU-Net's own commands look for in a run is there, and they take it."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

MODEL = ("-c", "2d", "-tr", "nnUNetTrainerSwinUMambaDScratch")
FOLD = Path("Dataset901_Discs", "nnUNetTrainerSwinUMambaDScratch__nnUNetPlans__2d", "fold_0")


def test_the_validation_folder_has_nnunets_summary_of_the_scores(finished):
    run, _ = finished
    validation = run / "nnUNet_results" / FOLD / "validation"
    summary = json.loads((validation / "summary.json").read_text())
    held_out = json.loads((run / "metrics.json").read_text())["held_out"]
    labels = {"1": "rim", "2": "core"}
    assert sorted(path.stem for path in validation.glob("*.png")) == sorted(held_out["per_case"])
    for case in summary["metric_per_case"]:
        ours = held_out["per_case"][Path(case["prediction_file"]).stem]
        assert Path(case["reference_file"]).exists()
        for label, name in labels.items():
            dice = case["metrics"][label]["Dice"]
            # A label that neither mask has is NaN there, and 1 here.
            assert ours["dsc"][name] == (1 if math.isnan(dice) else pytest.approx(dice))
    for label in labels:
        cases = [case["metrics"][label]["Dice"] for case in summary["metric_per_case"]]
        assert summary["mean"][label]["Dice"] == pytest.approx(np.nanmean(cases))
    means = [summary["mean"][label]["Dice"] for label in labels]
    assert summary["foreground_mean"]["Dice"] == pytest.approx(np.mean(means))


@pytest.mark.slow
def test_stock_commands_take_a_run(finished, discs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    environment = {
        **os.environ,
        "nnUNet_raw": str(discs.parent),
        "nnUNet_preprocessed": str(run / "nnUNet_preprocessed"),
        "nnUNet_results": str(run / "nnUNet_results"),
        "nnUNet_def_n_proc": "1",
    }

    def stock(command, *arguments):
        words = [str(Path(sys.executable).with_name(command)), *map(str, arguments)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]

    stock("nnUNetv2_export_model_to_zip", "-d", 901, *MODEL, "-f", 0, "-o", tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as content:
        assert f"{FOLD}/validation/summary.json" in content.namelist()
    stock("nnUNetv2_accumulate_crossval_results", 901, *MODEL, "-f", 0)
    merged = run / "nnUNet_results" / FOLD.parent / "crossval_results_folds_0"
    own = json.loads((run / "nnUNet_results" / FOLD / "validation" / "summary.json").read_text())
    assert json.loads((merged / "summary.json").read_text())["foreground_mean"] == own["foreground_mean"]
    stock("nnUNetv2_find_best_configuration", 901, *MODEL, "-f", 0, "--disable_ensembling", "-np", 1)
    assert (merged / "postprocessing.pkl").exists()
    predictions = run / "nnUNet_results" / FOLD / "validation"
    files = ("-plans_json", merged / "plans.json", "-dataset_json", merged / "dataset.json")
    chosen = ("-pp_pkl_file", merged / "postprocessing.pkl", *files, "-np", 1)
    stock("nnUNetv2_apply_postprocessing", "-i", predictions, "-o", tmp_path / "post", *chosen)
    names = sorted(path.name for path in predictions.glob("*.png"))
    assert sorted(path.name for path in (tmp_path / "post").glob("*.png")) == names
