"""The sample of cells: its table has the F1 of numbered cells, and rows of two methods without a network."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import sklearn
from scipy import ndimage
from skimage.io import imread
from swin_umamba.commands import cli
from swin_umamba.comparison import simple_methods
from swin_umamba.comparison.simple_methods import SIMPLE_METHODS, pixel_features

from .conftest import BUDGET, read_record

NAMES = [method.name for method in SIMPLE_METHODS]
WORDS = ("compare", "--sample", "cells", *BUDGET, "--models", "nnunet,segresnet")


def test_two_methods_are_rows_beside_the_networks(pretender, tmp_path, monkeypatch):
    out = tmp_path / "out"
    pretender.shifts.update(nnunet=1, segresnet=3)
    words = [*WORDS, "--output", str(out)]
    assert cli.main(words) == 0
    record = read_record(out)
    assert (record["metrics"], record["scores_from"]) == (["f1"], "evaluation_as_published")
    assert [row["name"] for row in record["simple"]] == NAMES
    for row in record["simple"]:
        of_cases = row["scores"]["f1"]["cases"]
        assert len(of_cases) == 16
        for case in list(of_cases)[2:4]:
            assert of_cases[case] == pytest.approx(plain_f1(out, row["name"], case), abs=5e-5)
        # As docs/train.md says.
        assert row["scores"]["f1"]["mean"] == pytest.approx({NAMES[0]: 0.004, NAMES[1]: 0.050}[row["name"]], abs=6e-4)
    markdown = (out / "comparison.md").read_text()
    mean, std = (record["simple"][1]["scores"]["f1"][key] for key in ("mean", "std"))
    assert f"| nearest neighbour | – | – | {mean:.4f} ± {std:.4f} | – | – | – |" in markdown
    assert "Without a network, and not tested: two thresholds: cells are what lies between" in markdown
    assert "Of the means: 95 % bootstrap intervals over cases:\n\n| system | F1, 95 % |" in markdown
    assert re.search(r"\| nearest neighbour \| 0\.\d{4} to 0\.\d{4} \|", markdown)
    with open(out / "comparison.csv", newline="") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    assert float(lines[NAMES[0]]["f1_as_published_mean"]) == record["simple"][0]["scores"]["f1"]["mean"]
    assert "<td>" + f"{mean:.4f} ± {std:.4f}" in (out / "comparison.html").read_text()
    # Only the networks are tested, and only they count in the correction.
    test = record["systems"][1]["against_first"]["f1"]
    assert test["p"] == test["p_holm"]

    def never(*arrays: object) -> None:
        raise AssertionError("predicted again")

    for method in SIMPLE_METHODS:
        monkeypatch.setitem(method.__dict__, "predict", never)
    assert cli.main([*words, "--metrics", "dsc,hd95"]) == 0
    again = read_record(out)
    assert list(again["simple"][0]["scores"]) == ["dsc", "hd95"]
    assert again["simple"][0]["scores"]["hd95"]["mean"] > 0
    # Those of another version are not.
    mark = out / NAMES[1] / "method.json"
    known = json.loads(mark.read_text())
    assert known["versions"]["scikit-learn"] == sklearn.__version__
    assert "not installed" not in known["versions"].values()
    mark.write_text(json.dumps({**known, "how": "by eye"}))
    with pytest.raises(AssertionError, match="predicted again"):
        cli.main(words)
    assert not mark.exists()


def plain_f1(out, name, case):
    """By all pairs of cells: from an overlap of one half on, these images have no cell with two partners."""
    data = out / "nnUNet_raw" / "Dataset153_SampleCells"
    interior = imread(out / name / "predictions" / f"{case}.png") == 1
    images = (imread(data / "labelsVal-instance-mask" / f"{case}.png"), ndimage.label(interior, np.ones((3, 3)))[0])
    cells = []
    for image in images:
        inner = np.zeros_like(image)
        inner[2:-2, 2:-2] = image[2:-2, 2:-2]
        masks = [image == number for number in np.unique(image[image > 0])]
        cells.append([mask for mask in masks if (mask == (mask & (inner > 0))).all()])
    found = sum(2 * (r & p).sum() >= (r | p).sum() for r in cells[0] for p in cells[1])
    return 2 * found / (len(cells[0]) + len(cells[1]))


def test_thresholds_find_bright_cells_and_the_nearest_pixel_is_itself(monkeypatch):
    """On images where that is enough both are right."""
    monkeypatch.setattr(simple_methods, "NEIGHBOURS", 10**6)
    labels = np.zeros((3, 40, 40), dtype=np.uint8)
    labels[:, 8:16, 8:16] = labels[:, 24:30, 20:32] = 1
    images = np.where(labels == 1, 150, 60).astype(np.uint8)
    images[1] += 3
    for method in SIMPLE_METHODS:
        assert (method.predict(images, labels, images[:2]) == labels[:2]).all()


def test_features_are_those_of_the_window():
    image = np.random.default_rng(0).integers(0, 256, (1, 9, 11)).astype(np.uint8)
    grey, mean, deviation = pixel_features(image).reshape(9, 11, 3)[4, 5]
    window = image[0, 2:7, 3:8].astype(float)
    assert (grey, mean, deviation) == pytest.approx((image[0, 4, 5], window.mean(), window.std()))


def test_other_data_have_no_such_rows(pretender, compare, tmp_path):
    assert compare("--models", "nnunet") == 0
    assert read_record(tmp_path / "out")["simple"] == []
    assert not (tmp_path / "out" / NAMES[0]).exists()
