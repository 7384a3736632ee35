"""What a scan is worth: a system against its twin without, wherever both are in the table."""

from __future__ import annotations

import csv

import pytest
from scipy.stats import wilcoxon
from swin_umamba.commands import cli

from .conftest import BUDGET, read_record

MODELS = "nnunet,swin-umamba-d-noscan,swin-umamba-d,umamba-bot-noscan,umamba-bot"
TWINS = {"swin-umamba-d-scratch": "swin-umamba-d-noscan", "umamba-bot": "umamba-bot-noscan"}


def test_each_is_tested_against_its_twin_too(pretender, compare, tmp_path):
    out = tmp_path / "out"
    assert compare("--models", MODELS, "--seeds", "2") == 0
    rows = {row["name"]: row for row in read_record(out)["systems"]}
    assert {name: row["twin"] for name, row in rows.items() if row["twin"]} == TWINS
    p = {}
    for name, twin in TWINS.items():
        one, other = (rows[key]["scores"]["dsc"] for key in (name, twin))
        test = rows[name]["against_twin"]["dsc"]
        assert test["difference"] == pytest.approx(one["mean"] - other["mean"])
        by_seed = [a - b for a, b in zip(one["seed_means"], other["seed_means"], strict=True)]
        assert test["seed_std"] == pytest.approx(abs(by_seed[0] - by_seed[1]) / 2**0.5)
        p[name] = wilcoxon([round(one["cases"][case] - other["cases"][case], 10) for case in one["cases"]]).pvalue
        assert test["p"] == pytest.approx(p[name])
    # Two twins, so Holm takes the smaller one twice.
    smaller = min(p, key=p.get)
    assert rows[smaller]["against_twin"]["dsc"]["p_holm"] == pytest.approx(min(1, 2 * p[smaller]))
    with open(out / "comparison.csv", newline="") as file:
        line = next(line for line in csv.DictReader(file) if line["name"] == "umamba-bot")
    assert float(line["dsc_twin_difference"]) == rows["umamba-bot"]["against_twin"]["dsc"]["difference"]
    markdown = (out / "comparison.md").read_text()
    difference = rows["umamba-bot"]["against_twin"]["dsc"]["difference"]
    assert f"| U-Mamba_Bot − U-Mamba_Bot, no scan | {difference:+.4f} | " in markdown
    assert "against its twin without scans: the same test, corrected over the twins." in markdown
    assert (
        '<th scope="row" class="name">U-Mamba_Bot − U-Mamba_Bot, no scan</th>' in (out / "comparison.html").read_text()
    )


def test_a_twin_that_comes_first_is_there_once(pretender, compare, tmp_path):
    assert compare("--models", "swin-umamba-d-noscan,swin-umamba-d") == 0
    (_, row) = read_record(tmp_path / "out")["systems"]
    assert row["against_twin"] == row["against_first"]
    markdown = (tmp_path / "out" / "comparison.md").read_text()
    assert markdown.count("| Swin-UMamba†, scratch − Swin-UMamba†, no scan | ") == 1
    assert "corrected over the twins" not in markdown


def test_a_twin_that_failed_is_compared_with_nothing(pretender, compare, tmp_path):
    pretender.failures["umamba-bot-noscan"] = "out of memory"
    assert compare("--models", MODELS) == 1
    rows = {row["name"]: row for row in read_record(tmp_path / "out")["systems"]}
    assert (rows["umamba-bot"]["twin"], rows["umamba-bot"]["against_twin"]) == (None, {})
    assert rows["swin-umamba-d-scratch"]["against_twin"].keys() == {"dsc", "nsd"}


def test_slices_of_one_brain_have_differences_and_neither_p_nor_interval(pretender, tmp_path):
    out = tmp_path / "out"
    words = ["compare", *BUDGET, "--models", "umamba-bot-noscan,umamba-bot", "--output", str(out)]
    assert cli.main(words) == 0
    record = read_record(out)
    for row in record["systems"]:
        assert row["scores"]["dsc"]["interval"] is None
        for test in (*row["against_first"].values(), *row["against_twin"].values()):
            assert (test["p"], test["interval"]) == (None, None)
            assert test["difference"] is not None
    assert "95 %" not in (out / "comparison.md").read_text()
    assert any("neither p-values nor intervals" in caution for caution in record["cautions"])
