"""Comparisons on one of the paper's data sets: as published where that can be, and told where it cannot."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from skimage.io import imread, imsave
from swin_umamba.paper.data_sets import ENDOSCOPY
from swin_umamba.paper.metrics import INSTRUMENT_TOLERANCE, ORGAN_TOLERANCES

from .conftest import read_record

TWO = ("--models", "nnunet,segresnet")


@pytest.fixture
def endoscopy(make_data_set, tmp_path):
    folder = make_data_set(tmp_path / "raw", held_out=8)
    return folder.rename(folder.with_name(ENDOSCOPY.name))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def _metrics(out, name):
    return json.loads((out / name / "metrics.json").read_text())


def _change_metrics(out, name, change):
    metrics = _metrics(out, name)
    change(metrics)
    (out / name / "metrics.json").write_text(json.dumps(metrics))


def _lines(out):
    with open(out / "comparison.csv", newline="") as file:
        return {line["name"]: line for line in csv.DictReader(file)}


def test_the_table_has_the_scores_as_published_and_the_files_both(pretender, compare, endoscopy, out):
    assert compare(*TWO, dataset=endoscopy) == 0
    record, lines, table = read_record(out), _lines(out), (out / "comparison.md").read_text()
    assert record["scores_from"] == "evaluation_as_published"
    for row in record["systems"]:
        metrics, line = _metrics(out, row["name"]), lines[row["name"]]
        for key in ("dsc", "nsd"):
            published, defined = metrics["evaluation_as_published"][key], metrics["evaluation"][key]
            assert row["scores"][key]["mean"] == published["mean"] == float(line[f"{key}_as_published_mean"])
            other = row["other_scores"]["evaluation"][key]
            assert other["mean"] == defined["mean"] == float(line[f"{key}_as_defined_mean"])
            assert len(other["cases"]) == 8
            assert f"{published['mean']:.4f} ± {published['std']:.4f}" in table
        assert row["scores"]["nsd"]["mean"] != row["other_scores"]["evaluation"]["nsd"]["mean"]
    defined = _metrics(out, "nnunet")["evaluation"]
    assert f"The same as defined: nnU-Net DSC {defined['dsc']['mean']:.4f}, NSD {defined['nsd']['mean']:.4f};" in table
    assert "Scores of the paper's metric (endoscopy) as published, as the released scripts compute it" in table
    assert "paper's metric (endoscopy) as published" in (out / "comparison.html").read_text().replace("&#39;", "'")


def test_the_terminal_says_by_which_rule_the_scores_are(pretender, compare, endoscopy, capfd):
    compare("--models", "nnunet", dataset=endoscopy)
    printed = " ".join(capfd.readouterr().out.split())
    assert "scores of the paper's metric (endoscopy) as published, as the released scripts compute it" in printed


def test_the_tolerance_named_is_that_of_the_scores(pretender, compare, endoscopy, out):
    compare(*TWO, "--nsd-tolerance", "7", dataset=endoscopy)
    assert f"NSD at a tolerance of {INSTRUMENT_TOLERANCE:g} pixels." in (out / "comparison.md").read_text()
    for key in ("evaluation", "evaluation_as_published"):
        for name in ("nnunet", "segresnet"):
            settings = {"as_published": key != "evaluation", "tolerance_mm": ORGAN_TOLERANCES}
            _change_metrics(out, name, lambda metrics, key=key, new=settings: metrics[key].update(settings=new))
    compare(*TWO, "--nsd-tolerance", "7", dataset=endoscopy)
    assert "NSD at tolerances in mm: liver 5, right kidney 3, spleen 3," in (out / "comparison.md").read_text()


def test_own_scores_have_the_tolerance_of_the_settings(pretender, compare, out):
    compare(*TWO, "--nsd-tolerance", "7")
    assert "NSD at a tolerance of 7." in (out / "comparison.md").read_text()
    record = read_record(out)
    assert (record["scores_from"], record["evaluation"]) == ("held_out", None)
    assert {"nsd_mean", "nsd_p"} <= set(_lines(out)["nnunet"])


def test_an_image_without_instruments_leaves_all_as_defined(pretender, compare, endoscopy, out):
    label = endoscopy / "labelsTs" / "disc_ts1.png"
    imsave(label, np.zeros_like(imread(label)), check_contrast=False)
    compare(*TWO, dataset=endoscopy)
    for name in ("nnunet", "segresnet"):
        assert _metrics(out, name)["evaluation_as_published"] is None
    record = read_record(out)
    assert record["scores_from"] == "evaluation"
    assert record["systems"][0]["scores"]["nsd"]["mean"] == _metrics(out, "nnunet")["evaluation"]["nsd"]["mean"]
    (first, second) = [caution for caution in record["cautions"] if "has no score as published" in caution]
    assert first.startswith("nnU-Net has no score as published, so all scores here are as defined")
    assert "case disc_ts1: neither reference nor prediction holds an instrument" in second
    assert "Scores of the paper's metric (endoscopy) as defined: " in (out / "comparison.md").read_text()


def test_a_run_from_before_the_score_as_published_is_compared_as_defined(pretender, compare, endoscopy, out):
    compare(*TWO, dataset=endoscopy)

    def age(metrics):
        del metrics["evaluation_as_published"], metrics["not_evaluated"]

    _change_metrics(out, "segresnet", age)
    pretender.trained.clear()
    assert compare(*TWO, dataset=endoscopy) == 0
    assert pretender.trained == []
    record = read_record(out)
    assert record["scores_from"] == "evaluation"
    (caution,) = [caution for caution in record["cautions"] if "as published" in caution]
    assert caution.startswith("SegResNet has no score as published")
    assert f"swin-umamba train --resume --output {out / 'segresnet'}" in caution
    assert list(record["systems"][0]["other_scores"]) == ["evaluation_as_published"]
    assert record["systems"][1]["other_scores"] == {}
    lines = _lines(out)
    assert lines["nnunet"]["nsd_as_published_mean"]
    assert lines["segresnet"]["nsd_as_published_mean"] == ""


@pytest.mark.usefixtures("drawing")
def test_the_figure_has_the_scores_of_the_table(pretender, compare, endoscopy, out):
    assert compare("--models", "nnunet", dataset=endoscopy) == 0
    assert (out / "comparison.png").stat().st_size > 1000
