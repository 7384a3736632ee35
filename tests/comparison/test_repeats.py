"""Several folds and seeds of each system: their trainings, and what is made of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from swin_umamba.commands import cli
from swin_umamba.common.errors import UserError
from swin_umamba.comparison.repeats import parse_folds
from swin_umamba.jobs import comparison_process

from .conftest import BUDGET, read_record

TWO = ("--models", "nnunet,segresnet")
NAMES = ["nnunet", "segresnet"]
FOLDS = [[f"disc_tr{2 * fold}", f"disc_tr{2 * fold + 1}"] for fold in range(3)]
CASES = [case for fold in FOLDS for case in fold]


@pytest.fixture
def data(make_data_set, tmp_path):
    """Six training cases in three folds, and no test cases."""
    folder = make_data_set(tmp_path / "raw")
    splits = [{"train": [case for case in CASES if case not in fold], "val": fold} for fold in FOLDS]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    return folder


def run_names(folds, seeds):
    return [f"fold_{fold}_seed_{seed}" for seed in seeds for fold in folds]


def case_means(out, name, run, key):
    cases = json.loads((out / name / run / "metrics.json").read_text())["held_out"]["per_case"]
    return {case: np.mean(list(scores[key].values())) for case, scores in cases.items()}


def test_runs_are_pooled_by_case_with_the_spread_over_folds_and_seeds_apart(pretender, compare, data, tmp_path):
    out = tmp_path / "out"
    assert compare(*TWO, "--folds", "0-2", "--seeds", "2", dataset=data) == 0
    runs = run_names(range(3), range(2))
    # Every system has a fold and seed before the next pair is trained.
    assert pretender.paths == [f"{name}/{run}" for run in runs for name in NAMES]
    record = read_record(out)
    assert record["repeats"] == {"folds": [0, 1, 2], "seeds": [0, 1]}
    with open(out / "comparison.csv", newline="") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    pooled = {}
    for row in record["systems"]:
        means = np.array([np.mean(list(case_means(out, row["name"], run, "dsc").values())) for run in runs])
        of_case = {}
        for run in runs:
            for case, score in case_means(out, row["name"], run, "dsc").items():
                of_case.setdefault(case, []).append(score)
        pooled[row["name"]] = {case: np.mean(scores) for case, scores in of_case.items()}
        assert {case: len(scores) for case, scores in of_case.items()} == dict.fromkeys(CASES, 2)
        score = row["scores"]["dsc"]
        assert score["cases"] == pytest.approx(pooled[row["name"]])
        assert score["mean"] == pytest.approx(np.mean(list(pooled[row["name"]].values())))
        assert score["std"] == pytest.approx(np.std(list(pooled[row["name"]].values())))
        by_seed = means.reshape(2, 3)
        assert score["fold_std"] == pytest.approx(np.std(by_seed.mean(axis=0), ddof=1))
        assert score["seed_std"] == pytest.approx(np.std(by_seed.mean(axis=1), ddof=1))
        assert float(lines[row["name"]]["dsc_seed_std"]) == score["seed_std"]
        low, high = score["interval"]
        assert low <= score["mean"] <= high
        assert row["runs"] == [f"{row['name']}/{run}" for run in runs]
    test = record["systems"][1]["against_first"]["dsc"]
    differences = [pooled["segresnet"][case] - pooled["nnunet"][case] for case in pooled["nnunet"]]
    assert test["n"] == 6
    assert test["difference"] == pytest.approx(np.mean(differences))
    markdown = (out / "comparison.md").read_text()
    assert "folds 0, 1, 2, seeds 0, 1: 6 trainings" in markdown
    assert (
        "Of the means: 95 % bootstrap intervals over cases, and standard deviations (divided by n - 1) over folds"
        in markdown
    )
    assert "| system | DSC, 95 % | DSC over folds | DSC over seeds | NSD, 95 % |" in markdown
    first = record["systems"][0]["scores"]["dsc"]
    shown = [
        " to ".join(f"{end:.4f}" for end in first["interval"]),
        *(f"{first[k]:.4f}" for k in ("fold_std", "seed_std")),
    ]
    assert f"| nnU-Net | {' | '.join(shown)} |" in markdown
    page = (out / "comparison.html").read_text()
    assert 'href="segresnet/fold_2_seed_1/report.html"' in page
    assert "validation cases of the folds" in page


def test_test_cases_of_all_folds_are_averaged(pretender, compare, tmp_path):
    assert compare(*TWO, "--folds", "0,1") == 0
    (row, _) = read_record(tmp_path / "out")["systems"]
    runs = [case_means(tmp_path / "out", "nnunet", run, "nsd") for run in run_names((0, 1), (0,))]
    expected = {case: (runs[0][case] + runs[1][case]) / 2 for case in runs[0]}
    assert row["scores"]["nsd"]["cases"] == pytest.approx(expected)
    assert row["scores"]["nsd"]["seed_std"] is None


def test_it_goes_on_and_takes_more_seeds(pretender, compare, data):
    compare(*TWO, "--folds", "0-1", dataset=data)
    pretender.paths.clear()
    assert compare(*TWO, "--folds", "0-1", dataset=data) == 0
    assert pretender.paths == []
    assert compare(*TWO, "--folds", "0-1", "--seeds", "2", dataset=data) == 0
    assert pretender.paths == [f"{name}/fold_{fold}_seed_1" for fold in range(2) for name in NAMES]


def test_a_system_with_a_failed_run_is_not_in_the_table(pretender, compare, data, tmp_path, capsys):
    pretender.failures["segresnet/fold_1_seed_0"] = "out of memory"
    assert compare(*TWO, "--folds", "0-1", dataset=data) == 1
    assert "1 of 4 trainings failed (segresnet/fold_1_seed_0)" in capsys.readouterr().err
    finished, failed = read_record(tmp_path / "out")["systems"]
    assert finished["state"] == "finished"
    assert failed["failure"] == "1 of 2 runs, first segresnet/fold_1_seed_0: out of memory"
    pretender.failures.clear()
    pretender.paths.clear()
    assert compare(*TWO, "--folds", "0-1", dataset=data) == 0
    assert pretender.paths == ["segresnet/fold_1_seed_0"]


def test_jobs_train_one_run_each_and_the_table_comes_after(pretender, compare, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison_process, "run_process", pretender)
    repeats = ("--folds", "0-1", "--seeds", "2")
    for job in (5, 0, 5):
        assert compare(*TWO, *repeats, "--job", str(job), dataset=data) == 0
    assert pretender.paths == ["segresnet/fold_0_seed_1", "nnunet/fold_0_seed_0"]
    assert not (tmp_path / "out" / "comparison.html").exists()
    assert compare(*TWO, *repeats, "--job", "8", dataset=data) == 2
    assert "--job 8: there are 8 trainings, counted from 0" in capsys.readouterr().err
    assert compare(*TWO, *repeats, dataset=data) == 0
    assert len(pretender.paths) == 8
    assert read_record(tmp_path / "out")["systems"][1]["state"] == "finished"


def test_folds_of_the_first_seed_are_put_together_for_nnunets_commands(pretender, compare, data, tmp_path):
    out = tmp_path / "out"
    words = ("--models", "nnunet", "--folds", "0-1", "--seeds", "2")
    compare(*words, dataset=data)
    model = Path("Dataset901_Discs", "nnUNetTrainerPlainConvUNet__nnUNetPlans__2d")
    for run in run_names((0, 1), (0, 1)):
        fold = out / "nnunet" / run / "nnUNet_results" / model / run.partition("_seed")[0]
        (fold / "validation").mkdir(parents=True)
        (fold / "validation" / "summary.json").write_text(run)
        (fold.parent / "plans.json").write_text("{}")
    assert compare(*words, dataset=data) == 0
    together = out / "nnUNet_results" / model
    assert sorted(path.name for path in together.iterdir()) == ["fold_0", "fold_1", "plans.json"]
    found = [(together / f"fold_{fold}" / "validation" / "summary.json").read_text() for fold in (0, 1)]
    assert found == ["fold_0_seed_0", "fold_1_seed_0"]


def test_a_system_that_was_trained_once_is_not_mixed_in(pretender, compare, data, capsys):
    compare("--models", "nnunet", dataset=data)
    assert compare("--models", "nnunet", "--folds", "0-1", dataset=data) == 2
    assert "nnunet was trained once, without --folds and --seeds" in capsys.readouterr().err


def test_the_command_repeats_itself(pretender, compare, data, tmp_path):
    assert compare("--models", "nnunet", "--folds", "1-2", "--seeds", "2", "--seed", "7", dataset=data) == 0
    command = read_record(tmp_path / "out")["command"]
    assert " --seed 7 " in command
    assert " --folds 1-2 --seeds 2 " in command
    assert "--fold " not in command
    assert pretender.paths == [f"nnunet/fold_{fold}_seed_{seed}" for seed in (7, 8) for fold in (1, 2)]


def test_train_takes_several_folds_of_one_model(pretender, data, tmp_path, capsys):
    out = tmp_path / "folds"
    words = [data, *BUDGET, "--model", "swin-umamba-d", "--learning-rate", "0.003", "--output", out]
    words += ["--metrics", "dsc,hd95", "--fold"]
    assert cli.main(["train", *map(str, words), "0,2"]) == 0
    runs = [f"swin-umamba-d-scratch/fold_{fold}_seed_0" for fold in (0, 2)]
    assert pretender.paths == runs
    settings = [json.loads((out / run / "settings.json").read_text()) for run in runs]
    assert [values["fold"] for values in settings] == [0, 2]
    assert {values["learning_rate"] for values in settings} == {0.003}
    record = read_record(out)
    assert sorted(record["systems"][0]["scores"]["dsc"]["cases"]) == sorted(FOLDS[0] + FOLDS[2])
    assert record["metrics"] == ["dsc", "hd95"]
    assert record["command"].startswith("swin-umamba train ")
    assert " --fold 0,2 " in record["command"]
    assert cli.main(["train", *map(str, words), "0-3"]) == 2
    assert "--fold 3: splits_final.json has only 3 folds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--folds", "0-3"), "--fold 3: splits_final.json has only 3 folds"),
        (("--folds", "0-1", "--fold", "2"), "--fold and --folds: say one of them"),
        (("--folds", "all"), "--folds all: must be like 0-4"),
    ],
)
def test_wrong_repeats_are_told_before_any_training(pretender, compare, data, capsys, words, message):
    assert compare("--models", "nnunet", *words, dataset=data) == 2
    assert message in capsys.readouterr().err
    assert pretender.paths == []


def test_folds_are_read_as_a_range_or_a_list():
    assert parse_folds("0-4") == (0, 1, 2, 3, 4)
    assert parse_folds("3,0-1") == (3, 0, 1)
    for text in ("4-0", "", "1-", "a"):
        with pytest.raises(UserError, match="must be like 0-4"):
            parse_folds(text)
    with pytest.raises(UserError, match="--fold 0-2,1 names a fold twice"):
        parse_folds("0-2,1", "--fold")
