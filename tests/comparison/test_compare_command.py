"""The command: its table, going on, failures, wrong input. The systems are not trained here."""

from __future__ import annotations

import csv
import json
import re
import shlex

import numpy as np
import pytest
import torch
from scipy.stats import wilcoxon
from skimage.io import imread
from swin_umamba.commands import cli
from swin_umamba.common.errors import RunError
from swin_umamba.common.files import lock_folder
from swin_umamba.comparison.measurements import Epoch, Measurements
from swin_umamba.comparison.results import read_result
from swin_umamba.runs.folder import RunFolder

from .conftest import BUDGET, read_record

THREE = ("--models", "nnunet,segresnet,swin-umamba-d")
NAMES = ["nnunet", "segresnet", "swin-umamba-d-scratch"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def _metrics(out, name):
    return json.loads((out / name / "metrics.json").read_text())


def test_the_table_has_the_numbers_of_the_runs(pretender, compare, out):
    assert compare(*THREE) == 0
    assert pretender.trained == NAMES
    record = read_record(out)
    assert [row["name"] for row in record["systems"]] == NAMES
    with open(out / "comparison.csv", newline="") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    markdown = (out / "comparison.md").read_text()
    for row in record["systems"]:
        metrics = _metrics(out, row["name"])
        for key in ("dsc", "nsd"):
            for statistic in ("mean", "std"):
                value = metrics["held_out"][key][statistic]
                assert row["scores"][key][statistic] == value == float(lines[row["name"]][f"{key}_{statistic}"])
            assert f"{metrics['held_out'][key]['mean']:.4f} ± {metrics['held_out'][key]['std']:.4f}" in markdown
        assert row["parameters"] == metrics["training"]["parameters"]
        assert (row["multiply_accumulates"], row["step_seconds"]) == (2_345_000_000, 0.25)
        assert row["peak_memory_bytes"] == 700_000_001
    assert "| nnU-Net | 1.5 | 2.35 |" in markdown


def test_the_paired_test_is_scipys_on_the_cases(pretender, compare, out):
    compare(*THREE)

    def means(name, key):
        cases = _metrics(out, name)["held_out"]["per_case"]
        return [np.mean(list(cases[case][key].values())) for case in sorted(cases)]

    rows = read_record(out)["systems"]
    assert rows[0]["against_first"] == {}
    for row in rows[1:]:
        for key in ("dsc", "nsd"):
            test = row["against_first"][key]
            expected = wilcoxon(means(row["name"], key), means(NAMES[0], key)).pvalue
            assert test["p"] == pytest.approx(expected)
            assert test["p"] <= test["p_holm"] <= min(1, 2 * test["p"])
            assert (test["n"], test["ties"]) == (8, 0)


def test_other_measures_make_another_table_without_training(pretender, compare, out, discs):
    two = ("--models", "nnunet,segresnet")
    assert compare(*two) == 0
    assert compare(*two, "--metrics", "dsc,hd95,lesion-f1") == 0
    assert pretender.trained == ["nnunet", "segresnet"]
    record = read_record(out)
    assert record["metrics"] == ["dsc", "hd95", "lesion_f1"]
    for row in record["systems"]:
        held_out = _metrics(out, row["name"])["held_out"]
        assert row["scores"]["dsc"]["mean"] == held_out["dsc"]["mean"]
        assert row["scores"]["hd95"]["mean"] == held_out["further"]["hd95"]["mean"] > 0
        assert row["missed"] == sum(len(case["missed"]) for case in held_out["per_case"].values())
    markdown = (out / "comparison.md").read_text()
    assert "| HD95 | lesion F1 | p, DSC | p, HD95 | p, lesion F1 |" in markdown
    assert "Missed and invented objects" in markdown
    assert " --metrics dsc,hd95,lesion-f1 " in record["command"]
    header = (out / "comparison.csv").read_text().splitlines()[0]
    assert ",hd95_mean,hd95_std,hd95_low,hd95_high," in header


def test_a_run_of_a_former_version_keeps_a_measure_out_of_the_table(pretender, compare, out):
    two = ("--models", "nnunet,segresnet")
    compare(*two)
    metrics = _metrics(out, "segresnet")
    del metrics["held_out"]["further"]
    for case in metrics["held_out"]["per_case"].values():
        del case["further"]
    (out / "segresnet" / "metrics.json").write_text(json.dumps(metrics))
    assert compare(*two, "--metrics", "nsd,assd") == 0
    record = read_record(out)
    assert record["metrics"] == ["nsd"]
    assert "No ASSD: a former version trained SegResNet, and did not compute it." in record["cautions"]
    assert compare(*two, "--metrics", "assd") == 0
    assert read_record(out)["metrics"] == []


def test_batch_and_patch_are_said_of_each_system_where_they_differ(pretender, compare, out):
    compare("--models", "nnunet,segresnet")
    assert ", fold 0, seed 0, batch 2, patch 32×32." in (out / "comparison.md").read_text()
    metrics = _metrics(out, "segresnet")
    metrics["training"]["batch_size"] = 9
    (out / "segresnet" / "metrics.json").write_text(json.dumps(metrics))
    compare("--models", "nnunet,segresnet")
    said = ", fold 0, seed 0, nnU-Net batch 2, patch 32×32; SegResNet batch 9, patch 32×32."
    assert said in (out / "comparison.md").read_text()


def test_energy_is_told_where_it_was_measured(pretender, compare, out):
    compare("--models", "nnunet,segresnet")
    record = read_record(out)
    assert record["systems"][0]["joules"] is None
    assert "Energy" not in (out / "comparison.md").read_text()
    measured = Measurements.read(out / "segresnet")
    measured.epochs = {number: Epoch(0.25, 1, 1600.0) for number in range(2)}
    measured.write(out / "segresnet")
    compare("--models", "nnunet,segresnet")
    assert read_record(out)["systems"][1]["joules"] == 3200
    said = "Energy of the training, of the machine's processors with all that they did meanwhile: SegResNet 3.2 kJ."
    assert said in (out / "comparison.md").read_text()


def _with_groups(out, names, groups):
    for name in names:
        metrics = _metrics(out, name)
        of_scored = {case: groups(case) for case in metrics["held_out"]["per_case"]}
        metrics["groups"] = {"of_scored": of_scored, "trained": 3}
        (out / name / "metrics.json").write_text(json.dumps(metrics))


def test_deviations_intervals_and_tests_are_over_groups(pretender, compare, out):
    names = ["nnunet", "segresnet"]
    compare("--models", "nnunet,segresnet")
    by_case = read_record(out)["systems"][1]
    # Each case in a group of its own is as no groups at all, but for the words.
    _with_groups(out, names, lambda case: case)
    compare("--models", "nnunet,segresnet")
    record = read_record(out)
    assert (record["n_groups"], record["test"]["name"][-15:]) == (8, "paired by group")
    assert record["systems"][1]["against_first"] == by_case["against_first"]
    for key in ("dsc", "nsd"):
        assert record["systems"][1]["scores"][key]["interval"] == by_case["scores"][key]["interval"]
    _with_groups(out, names, lambda case: f"patient{int(case[-1]) // 2}")
    compare("--models", "nnunet,segresnet")
    row = read_record(out)["systems"][1]
    cases = _metrics(out, "segresnet")["held_out"]["per_case"]
    means = [np.mean(list(cases[f"disc_ts{i}"]["dsc"].values())) for i in range(8)]
    assert row["scores"]["dsc"]["mean"] == by_case["scores"]["dsc"]["mean"]
    assert row["scores"]["dsc"]["std"] == pytest.approx(np.std(np.reshape(means, (4, 2)).mean(axis=1)))
    assert row["scores"]["dsc"]["interval"] is None
    assert row["against_first"]["dsc"]["n"] == 4
    assert "too few" in row["against_first"]["dsc"]["reason"]
    assert "over 8 held-out cases, the deviation over their 4 groups" in (out / "comparison.md").read_text()


def test_groups_that_names_suggest_are_a_caution(pretender, compare, out):
    compare("--models", "nnunet")
    metrics = _metrics(out, "nnunet")
    metrics["suspected_groups"] = "The names suggest groups."
    (out / "nnunet" / "metrics.json").write_text(json.dumps(metrics))
    compare("--models", "nnunet")
    assert "The names suggest groups." in read_record(out)["cautions"]


def _cells(mean, std, n):
    score = {"mean": mean, "std": std, "n": n}
    return {"metric": "cells", "n_cases": n, "f1": {**score, "per_class": {"cell": score}}}


def test_the_papers_metric_takes_the_place_of_dsc_and_nsd(pretender, compare, out):
    models = ("--models", "nnunet,segresnet")
    compare(*models)
    for shift, name in enumerate(NAMES[:2]):
        path = out / name / "metrics.json"
        scores = [0.3 + 0.05 * case + 0.01 * shift * (case + 1) for case in range(8)]
        evaluation = _cells(np.mean(scores), np.std(scores), 8)
        path.write_text(json.dumps({**json.loads(path.read_text()), "evaluation": evaluation}))
        (out / name / "evaluation").mkdir()
        # The last image has no score.
        lines = ["case,f1", *(f"image{case},{score!r}" for case, score in enumerate(scores)), "image8,"]
        (out / name / "evaluation" / "cases.csv").write_text("\n".join(lines))
    assert compare(*models) == 0
    record = read_record(out)
    assert record["metrics"] == ["f1"]
    assert record["systems"][1]["scores"]["f1"]["mean"] == pytest.approx(0.52)
    test = record["systems"][1]["against_first"]["f1"]
    assert (test["n"], test["ties"], test["p"]) == (8, 0, 2 / 2**8)
    assert "| F1 | p, F1 |" in (out / "comparison.md").read_text()


def test_a_system_without_the_papers_metric_fails_instead_of_another_metric(pretender, compare, out, capfd):
    models = ("--models", "nnunet,segresnet")
    compare(*models)
    evaluation = _cells(0.5, 0.0, 1)
    for name, of_name in (("nnunet", evaluation), ("segresnet", None)):
        path = out / name / "metrics.json"
        metrics = {**json.loads(path.read_text()), "dataset": "Dataset703_NeurIPSCell", "evaluation": of_name}
        path.write_text(json.dumps(metrics))
    (out / "nnunet" / "evaluation").mkdir()
    (out / "nnunet" / "evaluation" / "cases.csv").write_text("case,f1\nimage0,0.5\n")
    pretender.trained.clear()
    pretender.failures["segresnet"] = "not evaluated"
    assert compare(*models) == 1
    assert pretender.trained == ["segresnet"]
    assert "has no scores of the paper's metric (cells)" in capfd.readouterr().out
    record = read_record(out)
    assert record["metrics"] == ["f1"]
    assert [row["state"] for row in record["systems"]] == ["finished", "failed"]


def test_validation_cases_of_the_papers_data_sets_have_scores_of_their_own(pretender, compare, make_data_set, tmp_path):
    data = make_data_set(tmp_path / "raw").rename(tmp_path / "raw" / "Dataset703_NeurIPSCell")
    assert compare("--models", "nnunet", "--fold", "0", dataset=data) == 0
    assert read_record(tmp_path / "out")["metrics"] == ["dsc", "nsd"]


def test_equal_predictions_are_told_as_such(pretender, compare, out):
    pretender.shifts = dict.fromkeys(NAMES, 2)
    compare(*THREE)
    assert read_record(out)["systems"][1]["against_first"]["dsc"]["reason"] == "equal in every case"
    assert "- No p: equal in every case." in (out / "comparison.md").read_text()


@pytest.mark.usefixtures("drawing")
def test_the_panel_has_a_column_for_each_system(compare, out):
    compare("--models", "nnunet")
    narrow = imread(out / "comparison.png").shape
    compare("--models", "nnunet,segresnet")
    wide = imread(out / "comparison.png")
    assert wide.std() > 0
    assert wide.shape[1] > narrow[1]


def test_finished_systems_are_not_trained_again_and_others_can_be_added(pretender, compare, out, capfd):
    compare("--models", "nnunet,segresnet")
    before = read_record(out)["systems"]
    pretender.trained.clear()
    assert compare(*THREE) == 0
    assert pretender.trained == NAMES[2:]
    assert read_record(out)["systems"][:2] == before
    assert "nnU-Net has been trained before" in capfd.readouterr().out


def test_progress_names_the_system_and_what_remains(pretender, compare, capfd):
    compare(*THREE)
    shown = capfd.readouterr().out
    assert "nnU-Net (1 of 3 to train)" in shown
    assert "now nnU-Net; after it SegResNet, Swin-UMamba†, scratch" in shown
    assert "now SegResNet; after it Swin-UMamba†, scratch, about 0:" in shown


def test_a_failed_system_is_named_and_the_others_go_on(pretender, compare, out, capfd):
    pretender.failures["segresnet"] = "training stopped because the loss became nan"
    assert compare(*THREE) == 1
    assert pretender.trained == NAMES
    assert "1 of 3 systems failed (segresnet)" in capfd.readouterr().err
    rows = read_record(out)["systems"]
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]
    assert rows[1]["failure"] == "training stopped because the loss became nan"
    assert "SegResNet failed: training stopped because the loss became nan" in (out / "comparison.md").read_text()
    assert (out / "comparison.png").exists()

    pretender.failures.clear()
    pretender.trained.clear()
    assert compare(*THREE) == 0
    assert pretender.trained == ["segresnet"]
    assert "SegResNet failed" not in (out / "comparison.md").read_text()


def test_the_first_system_failing_leaves_a_table_without_tests(pretender, compare, out):
    pretender.failures["nnunet"] = "out of memory"
    assert compare(*THREE) == 1
    rows = read_record(out)["systems"]
    assert rows[1]["scores"]["dsc"]["mean"] == _metrics(out, "segresnet")["held_out"]["dsc"]["mean"]
    assert rows[1]["against_first"] == {}


def test_all_systems_failing(pretender, compare, out):
    pretender.failures = dict.fromkeys(NAMES, "out of memory")
    assert compare(*THREE) == 1
    assert "nnU-Net failed: out of memory" in (out / "comparison.md").read_text()


def test_an_interrupted_comparison_goes_on(pretender, compare, out, capfd):
    pretender.failures["segresnet"] = KeyboardInterrupt
    assert compare(*THREE) == 130
    assert pretender.trained == NAMES[:2]
    assert "the same command goes on with it" in capfd.readouterr().out
    assert [row["state"] for row in read_record(out)["systems"]] == ["finished", "not trained yet", "not trained yet"]
    pretender.failures.clear()
    pretender.trained.clear()
    assert compare(*THREE) == 0
    assert pretender.trained == NAMES[1:]


def test_a_run_with_damaged_metrics_is_finished_again(pretender, compare, out, capfd):
    compare(*THREE)
    before = read_record(out)["systems"][1]["scores"]
    (out / "segresnet" / "metrics.json").write_text("{")
    pretender.trained.clear()
    pretender.shifts["segresnet"] = 2
    assert compare(*THREE) == 0
    assert pretender.trained == ["segresnet"]
    assert "SegResNet is not as it was left" in capfd.readouterr().out
    assert read_record(out)["systems"][1]["scores"] == before


def test_the_command_in_the_table_repeats_it(pretender, compare, discs, out):
    compare(*THREE, "--seed", "3", "--learning-rate", "nnunet=0.005")
    command = read_record(out)["command"]
    assert command.startswith(f"swin-umamba compare {discs} ")
    for part in ("--epochs 2", "--patch-size 32 32", "--seed 3", "--fold 0", "--learning-rate nnunet=0.005", THREE[1]):
        assert part in command


def test_the_command_in_the_table_says_nothing_of_weights_that_there_are_none_of(pretender, compare, out):
    compare(*THREE)
    words = shlex.split(read_record(out)["command"])
    assert not {"--freeze-epochs", "--input-channels", "--pretrained"} & set(words)
    # The same words are accepted, and go on with the comparison.
    assert cli.main(words[1:]) == 0


def test_the_process_that_compares_leaves_the_gpu_to_those_that_train(pretender, compare, monkeypatch):
    occupied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", occupied.append)
    assert compare("--models", "nnunet,segresnet", "--device", "cuda") == 0
    assert occupied == []


def test_one_system_without_kernels_keeps_all_from_the_gpu(pretender, compare, monkeypatch, capfd):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("swin_umamba_ext.library.CUDA_LIBRARY", None)
    assert compare(*THREE, "--device", "cuda") == 2
    assert "--device cuda: this installation has no CUDA kernels" in capfd.readouterr().err
    assert pretender.trained == []


def test_runs_share_one_preprocessed_folder(pretender, compare, out):
    compare(*THREE)
    for name in NAMES:
        assert (out / name / "nnUNet_preprocessed").resolve() == out / "nnUNet_preprocessed"


def test_validation_cases_are_told_where_nothing_is_held_out(pretender, compare, make_data_set, tmp_path, out):
    compare("--models", "nnunet", dataset=make_data_set(tmp_path / "raw"))
    assert any("validation cases" in caution for caution in read_record(out)["cautions"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "nnunet,unet"), "there is no model 'unet'; there are swin-umamba,"),
        (("--models", "nnunet,nnunet"), "names nnunet twice"),
        (("--models", "nnunet", "--metrics", "hd"), "there is no measure 'hd'; there are dsc,nsd,hd95"),
        (("--models", "nnunet", "--pretrained", "weights.pth"), "none of the models has a VMamba encoder"),
        (("--models", "swin-umamba", "--pretrained", "none.pth"), "there is no such file"),
        (("--models", "nnunet", "--learning-rate", "unetr=0.1"), "unetr is not compared"),
        (("--models", "nnunet", "--learning-rate", "nnunet=0.1", "nnunet=0.2"), "names a model twice"),
        (("--models", "nnunet", "--device", "tpu"), "must be auto, cpu"),
        (("--freeze-epochs", "3"), "--freeze-epochs 3: this training starts from random weights; leave it out"),
        (("--no-pretrained", "--input-channels", "sum"), "--input-channels sum: this training starts from random"),
    ],
)
def test_wrong_input_leaves_nothing(pretender, compare, out, capfd, arguments, message):
    device = ("--device", "cpu")
    assert compare(*arguments, budget=BUDGET[:-2] + (() if "--device" in arguments else device)) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert pretender.trained == []
    assert not out.exists()


def test_the_sample_has_one_split(pretender, out, capfd):
    assert cli.main(["compare", "--fold", "3", "--output", str(out)]) == 2
    assert "the sample has one split" in capfd.readouterr().err
    assert not out.exists()


def test_fold_all_without_test_cases_has_nothing_to_compare_by(pretender, compare, make_data_set, tmp_path, capfd):
    assert compare("--models", "nnunet", "--fold", "all", dataset=make_data_set(tmp_path / "raw")) == 2
    assert "no held-out" in capfd.readouterr().err


def test_cells_without_instances_have_nothing_to_compare_by(pretender, compare, make_data_set, tmp_path, capfd):
    folder = make_data_set(tmp_path / "raw", held_out=2).rename(tmp_path / "raw" / "Dataset703_NeurIPSCell")
    assert compare("--models", "nnunet", dataset=folder) == 2
    assert "has no folder labelsVal-instance-mask" in capfd.readouterr().err
    assert pretender.trained == []


def test_other_settings_than_the_former_comparison(pretender, compare, out, capfd):
    compare("--models", "nnunet")
    before = (out / "comparison.json").read_bytes()
    assert compare("--models", "segresnet", "--epochs", "3") == 2
    assert "the settings differ (epochs: 3 now, 2 in the former run)" in capfd.readouterr().err
    assert compare("--models", "nnunet", "--learning-rate", "nnunet=0.5") == 2
    assert "learning rate: 0.5 now, left to the model in the former run" in capfd.readouterr().err
    assert (out / "comparison.json").read_bytes() == before
    assert pretender.trained == ["nnunet"]


def test_damaged_settings_of_the_former_comparison_are_told(pretender, compare, out, capfd):
    compare("--models", "nnunet")
    path = out / "comparison.json"
    record = json.loads(path.read_text())
    for change in (lambda settings: settings.pop("patch_size"), lambda settings: settings.update(colour="red")):
        damaged = json.loads(json.dumps(record))
        change(damaged["settings"])
        path.write_text(json.dumps(damaged))
        assert compare("--models", "nnunet") == 2
        assert f"cannot read its settings in {path}" in capfd.readouterr().err


def test_a_folder_of_something_else_is_left_alone(pretender, compare, out, capfd):
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    assert compare("--models", "nnunet") == 2
    assert "neither empty nor a comparison" in capfd.readouterr().err
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_folder_inside_the_data_set(pretender, compare, make_data_set, tmp_path, capfd):
    data = make_data_set(tmp_path / "raw")
    assert compare("--models", "nnunet", "--output", data / "results", dataset=data) == 2
    assert "inside the data set" in capfd.readouterr().err


def test_two_comparisons_in_one_folder(pretender, compare, out, capfd):
    compare("--models", "nnunet")
    with lock_folder(out, "wait"):
        assert compare(*THREE) == 2
    assert f"another process is at work in {out}; wait for it, or choose another folder" in capfd.readouterr().err
    assert pretender.trained == ["nnunet"]


def test_the_page_has_the_table_and_loads_nothing(pretender, compare, out):
    pretender.failures["segresnet"] = "the file <b>x</b> is damaged"
    compare(*THREE)
    page = (out / "comparison.html").read_text()
    mean = _metrics(out, "nnunet")["held_out"]["dsc"]["mean"]
    assert f"<td>{mean:.4f} ± " in page
    assert '<a href="swin-umamba-d-scratch/report.html">Swin-UMamba†, scratch</a>' in page
    assert "segresnet/report.html" not in page
    assert "the file &lt;b&gt;x&lt;/b&gt; is damaged" in page
    assert "data:image/png;base64," in page
    assert not re.search(r"https?:|<script|src=\"(?!data:)", page)


@pytest.mark.usefixtures("drawing")
def test_a_missing_prediction_costs_the_figure_and_not_the_table(pretender, compare, out, capfd):
    compare("--models", "nnunet")
    (out / "comparison.png").unlink()
    for path in (out / "nnunet" / "predictions").iterdir():
        path.unlink()
    assert compare("--models", "nnunet") == 0
    assert "the figure could not be drawn: " in capfd.readouterr().out
    assert not (out / "comparison.png").exists()


def test_a_run_without_scores_is_no_result(pretender, compare, out):
    compare("--models", "nnunet")
    path = out / "nnunet" / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "held_out": None}))
    with pytest.raises(RunError, match="no case was held out"):
        read_result(RunFolder(out / "nnunet"))
