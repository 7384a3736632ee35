"""The pixels of each class."""

from __future__ import annotations

import numpy as np
from swin_umamba.evaluation.content import count_pixels
from swin_umamba.evaluation.scores import cases_to_show


def test_regions_overlap_and_what_is_ignored_is_no_background():
    labels = np.array([[0, 0, 1], [2, 3, 9]])
    assert count_pixels(labels, {"whole": (1, 2, 3), "core": (3,)}, 9) == {"background": 2, "whole": 3, "core": 1}


def test_five_worst_the_median_and_the_best():
    means = [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5, 0.95, 0.65, 0.62, 0.61]
    worst = {1: "worst", 3: "2nd worst", 5: "3rd worst", 7: "4th worst", 8: "5th worst"}
    assert cases_to_show(means) == {**worst, 12: "median", 9: "best"}
    assert list(cases_to_show([0.3, 0.1, 0.2]).items()) == [(1, "worst"), (2, "median"), (0, "best")]
    assert cases_to_show([0.7, 0.3]) == {1: "worst", 0: "best"}
