"""Comparisons of a case, a group, a fold or a system alone, of equal scores, and without a first system."""

from __future__ import annotations

import json

import pytest

from .conftest import read_record

TWO = ("--models", "nnunet,segresnet")


@pytest.fixture
def lines(tmp_path):
    """A function that gives the lines of ``comparison.md``."""
    return lambda: (tmp_path / "out" / "comparison.md").read_text().splitlines()


def with_groups(out, group_of):
    for path in out.glob("*/metrics.json"):
        metrics = json.loads(path.read_text())
        of_scored = {case: group_of(case) for case in metrics["held_out"]["per_case"]}
        path.write_text(json.dumps({**metrics, "groups": {"of_scored": of_scored, "trained": 3}}))


def cells(lines, title):
    return next(line for line in lines if line.startswith(f"| {title} |")).strip("| ").split(" | ")


def test_one_case_has_a_mean_and_no_deviation(pretender, compare, make_data_set, tmp_path, lines):
    assert compare(*TWO, dataset=make_data_set(tmp_path / "raw", held_out=1)) == 0
    score = read_record(tmp_path / "out")["systems"][0]["scores"]["dsc"]
    assert cells(lines(), "nnU-Net")[3] == f"{score['mean']:.4f}"
    assert "- Scores: mean over 1 held-out case; NSD at a tolerance of 1." in lines()
    assert not any(line.startswith("Of the means") for line in lines())
    assert "- No p: too few: 1 case differs, and the test needs 6." in lines()


def test_one_group_has_a_mean_and_no_deviation(pretender, compare, tmp_path, lines):
    compare(*TWO)
    with_groups(tmp_path / "out", lambda case: "patient")
    assert compare(*TWO) == 0
    assert "±" not in "".join(lines())
    assert "- Scores: mean over 8 held-out cases, which are one group; NSD at a tolerance of 1." in lines()
    assert "- No p: too few: 1 group differs, and the test needs 6." in lines()
    assert any(line.startswith("- Few groups (1): ") for line in lines())


def test_few_groups_of_many_cases_are_few(pretender, compare, make_data_set, tmp_path, lines):
    data = make_data_set(tmp_path / "raw", held_out=12)
    compare("--models", "nnunet", dataset=data)
    assert not any("Few" in line for line in lines())
    with_groups(tmp_path / "out", lambda case: f"patient{int(case[7:]) % 3}")
    compare("--models", "nnunet", dataset=data)
    assert any(line.startswith("- Few groups (3): ") for line in lines())


def test_one_fold_and_seed_are_one_training(pretender, compare, tmp_path, lines):
    assert compare(*TWO, "--folds", "0", "--seeds", "1") == 0
    assert any(", fold 0, seed 0, batch 2," in line for line in lines())
    assert not any("trainings" in line or "over seeds" in line for line in lines())
    assert "Of the means: 95 % bootstrap intervals over cases:" in lines()


def test_one_system_has_no_test(pretender, compare, lines):
    assert compare("--models", "nnunet") == 0
    assert cells(lines(), "system") == ["system", "param (M)", "ops (G)", "DSC", "NSD", "step (s)", "memory (GB)"]
    assert not any(line.startswith("- p:") or "another ranking" in line for line in lines())


def test_equal_scores_say_so(pretender, compare, lines):
    pretender.shifts.update(nnunet=2, segresnet=2, unetr=3)
    assert compare(*TWO) == 0
    assert cells(lines(), "nnU-Net")[1:] == cells(lines(), "SegResNet")[1:]
    assert "- No p: equal in every case." in lines()
    assert compare("--models", "nnunet,segresnet,unetr") == 0
    assert "- No p of DSC for SegResNet − nnU-Net; NSD for SegResNet − nnU-Net: equal in every case." in lines()


def test_the_others_are_told_of_without_the_first(pretender, compare, tmp_path, lines):
    names = ("nnunet", "segresnet", "unetr")
    compare("--models", ",".join(names))
    with_groups(tmp_path / "out", lambda case: case)
    (tmp_path / "out" / "nnunet" / "metrics.json").unlink()
    pretender.failures["nnunet"] = "out of memory"
    assert compare("--models", ",".join(names)) == 1
    assert lines()[0] == "# Comparison on Dataset901_Discs"
    assert "- No p: nnU-Net, against which the others are tested, has no result." in lines()
    assert any("over 8 held-out cases, the deviation over their 8 groups;" in line for line in lines())


def test_twins_are_tested_where_the_first_system_failed(pretender, compare, lines):
    pretender.shifts.update({"swin-umamba-d-scratch": 1, "swin-umamba-d-noscan": 2})
    pretender.failures["nnunet"] = "out of memory"
    assert compare("--models", "nnunet,swin-umamba-d,swin-umamba-d-noscan") == 1
    assert "- No p against nnU-Net: nnU-Net, against which the others are tested, has no result." in lines()
    assert any(
        line.startswith("- p: Wilcoxon signed-rank test, two-sided, paired by case, corrected") for line in lines()
    )
    assert any("; the test is over cases, and takes them to be independent" in line for line in lines())


def test_the_command_has_the_table_of_groups_as_the_user_wrote_it(pretender, compare, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"disc_t{part}{case}" for part, count in (("r", 6), ("s", 8)) for case in range(count)]
    (tmp_path / "groups.csv").write_text("case,patient\n" + "".join(f"{name},{name}\n" for name in names))
    assert compare("--models", "nnunet", "--group-by", "groups.csv:patient") == 0
    command = read_record(tmp_path / "out")["command"]
    assert " --group-by groups.csv:patient " in command
    assert f"{tmp_path}/groups.csv" not in command


def test_the_page_names_no_folder_above(pretender, compare, tmp_path):
    pretender.failures["segresnet"] = f"cannot read {tmp_path}/out/segresnet/train.log"
    assert compare(*TWO) == 1
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert str(tmp_path) not in page
    assert "segresnet failed" in page.lower()
    assert "--output out" in page


def test_the_command_names_no_sample_beside_a_data_set(pretender, compare, tmp_path):
    compare("--models", "nnunet")
    assert "--sample" not in read_record(tmp_path / "out")["command"]
