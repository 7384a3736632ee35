"""Statistics of the cases, and which of them are shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from skimage.io import imread, imsave
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.evaluation.held_out import score_cases, summarise
from swin_umamba.evaluation.scores import describe, worst_median_best


def test_statistics_are_of_the_values():
    assert describe([0.0, 0.5, 1.0, 1.0]) == {
        "mean": 0.625,
        "std": pytest.approx(np.sqrt(((0.625**2) + 0.125**2 + 2 * 0.375**2) / 4)),
        "median": 0.75,
        "min": 0.0,
        "max": 1.0,
    }


@given(means=st.lists(st.floats(0, 1), min_size=3, max_size=9))
def test_three_different_cases_are_chosen(means):
    places = worst_median_best(means)
    assert list(places.values()) == ["worst", "median", "best"]
    worst, median, best = (means[index] for index in places)
    assert worst == min(means)
    assert best == max(means)
    assert sum(mean <= median for mean in means) > len(means) / 2
    assert sum(mean >= median for mean in means) >= len(means) / 2


def test_few_cases_have_no_median():
    assert worst_median_best([0.3]) == {0: "only"}
    assert worst_median_best([0.7, 0.3]) == {1: "worst", 0: "best"}


def test_a_class_that_neither_mask_has_is_marked(make_data_set, tmp_path):
    dataset = open_raw_dataset(make_data_set(tmp_path, training=1, held_out=2))
    (tmp_path / "predictions").mkdir()
    for case in dataset.held_out:
        label = imread(case.label)
        label[label == 2] = 1
        imsave(case.label, label, check_contrast=False)
        imsave(tmp_path / "predictions" / case.label.name, label, check_contrast=False)
    scores = score_cases(dataset, dataset.held_out, tmp_path / "predictions", NaturalImage2DIO(), tolerance=1.0)
    assert [case.absent for case in scores.values()] == [("core",), ("core",)]
    summary = summarise(scores)
    assert summary["per_case"]["disc_ts0"]["absent"] == ["core"]
    assert summary["dsc"]["per_class"]["core"]["mean"] == 1
