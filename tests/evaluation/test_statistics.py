"""Spread and bootstrap intervals over cases and over groups."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from swin_umamba.evaluation.statistics import bootstrap_interval, group_means, spread

RNG = np.random.default_rng(3)
SCORES = {f"case{i}": float(value) for i, value in enumerate(RNG.beta(8, 2, 40))}


def test_the_interval_is_scipys():
    values = np.array(list(SCORES.values()))
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    # Two sets of 10,000 samples differ in the third digit of the interval's width.
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert bootstrap_interval(SCORES) == pytest.approx(tuple(theirs.confidence_interval), abs=0.04 * width)
    assert bootstrap_interval(SCORES) == bootstrap_interval(dict(reversed(SCORES.items())))


def test_copies_of_a_case_in_its_group_say_nothing_new():
    """But without groups they would make the interval narrower."""
    copies = {f"{case} {copy}": score for case, score in SCORES.items() for copy in range(9)}
    groups = {name: name.partition(" ")[0] for name in copies}
    assert bootstrap_interval(copies, groups) == pytest.approx(bootstrap_interval(SCORES))
    assert spread(copies, groups) == pytest.approx(np.std(list(SCORES.values())))
    low, high = bootstrap_interval(copies)
    narrow, wide = high - low, np.subtract(*bootstrap_interval(SCORES)[::-1])
    assert narrow == pytest.approx(wide / 3, rel=0.1)


def test_groups_count_by_their_cases():
    """The mean is over cases, so a group of many weighs more."""
    scores = {**{f"a{i}": 1.0 for i in range(95)}, **{f"{name}0": 0.0 for name in "bcdef"}}
    low, high = bootstrap_interval(scores, {case: case[0] for case in scores})
    assert low == 0
    assert high > 0.95
    assert group_means(scores, {case: case[0] for case in scores}) == {"a": 1.0, **dict.fromkeys("bcdef", 0.0)}


def test_cases_without_a_score_are_left_out():
    scores = {**SCORES, "none": None}
    assert bootstrap_interval(scores) == bootstrap_interval(SCORES)
    assert group_means({"a": None, "b": 1.0, "c": None}, {"a": "x", "b": "x", "c": "y"}) == {"x": 1.0, "y": None}
    assert spread({"a": None}, None) is None


def test_few_groups_have_no_interval():
    assert bootstrap_interval(dict(list(SCORES.items())[:4])) is None
    assert bootstrap_interval(SCORES, {case: str(i % 4) for i, case in enumerate(SCORES)}) is None
