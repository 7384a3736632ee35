"""The test against the first system, against scipy and by its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon
from swin_umamba.comparison.paired_test import FEWEST, compare_pairs, holm, needed_cases
from swin_umamba.evaluation.statistics import bootstrap_interval


def compare_to_first(systems, **options):
    return compare_pairs([(systems[0], other) for other in systems[1:]], **options)


p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def _systems(count: int, cases: int) -> list[dict[str, float]]:
    scores = np.random.default_rng(0).uniform(0.2, 0.9, (count, cases))
    scores[1:] += np.linspace(0, 0.2, count - 1)[:, None]
    return [{f"case{index}": float(value) for index, value in enumerate(row)} for row in scores]


@pytest.mark.parametrize("cases", [FEWEST, 12, 60])
def test_p_is_scipys(cases):
    first, *others = systems = _systems(4, cases)
    for test, other in zip(compare_to_first(systems), others, strict=True):
        assert test.p == wilcoxon(list(other.values()), list(first.values())).pvalue
        assert (test.n, test.ties) == (cases, 0)
        assert test.difference == pytest.approx(np.mean(list(other.values())) - np.mean(list(first.values())))


def test_cases_are_paired_by_name_and_those_without_a_score_left_out():
    first, other = _systems(2, 20)
    shuffled = dict(sorted(other.items(), reverse=True))
    (expected,) = compare_to_first([first, other])
    assert compare_to_first([first, shuffled]) == [expected]
    (test,) = compare_to_first([{**first, "only here": 0.5, "none": None}, {**other, "none": 0.5}])
    assert test == expected


def test_ties_are_counted_and_left_out():
    first, other = _systems(2, 20)
    (test,) = compare_to_first([{**first, "tie": 0.5}, {**other, "tie": 0.5}])
    (without,) = compare_to_first([first, other])
    assert (test.n, test.ties) == (21, 1)
    assert test.p == without.p
    assert test.difference == pytest.approx(without.difference * 20 / 21)


def test_groups_count_once_in_the_test_and_with_their_cases_in_the_difference():
    first, other = _systems(2, 20)
    groups = {f"case{index}": f"patient{index % 8}" for index in range(20)}
    (test,) = compare_to_first([first, other], groups=groups)
    apart = {case: other[case] - first[case] for case in first}
    by_group = [
        np.mean([apart[case] for case in apart if groups[case] == name]) for name in sorted(set(groups.values()))
    ]
    assert (test.n, test.p) == (8, wilcoxon(by_group).pvalue)
    assert test.difference == pytest.approx(np.mean(list(apart.values())))
    assert test.interval == bootstrap_interval(apart, groups)
    assert test.interval[0] < test.difference < test.interval[1]
    (withheld,) = compare_to_first([first, other], withheld="they are neighbours")
    assert (withheld.p, withheld.p_holm, withheld.interval, withheld.reason) == (
        None,
        None,
        None,
        "they are neighbours",
    )
    assert withheld.difference == test.difference


def test_too_few_cases_give_no_p_but_a_reason():
    few = _systems(2, FEWEST - 1)
    (test,) = compare_to_first(few)
    assert test.p is None
    assert test.p_holm is None
    assert "needs 6" in test.reason
    (equal,) = compare_to_first([few[0], few[0]])
    assert equal.reason == "equal in every case"
    (nothing,) = compare_to_first([{"a": 0.5}, {"b": 0.5}])
    assert (nothing.n, nothing.difference) == (0, None)


def test_fewest_is_where_the_smallest_p_falls_below_0_05():
    ahead = [{str(case): 0.1 * case for case in range(FEWEST)}, {str(case): 0.11 * case + 1 for case in range(FEWEST)}]
    (test,) = compare_to_first(ahead)
    assert test.p == 2 / 2**FEWEST < 0.05 < 2 / 2 ** (FEWEST - 1)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, none below a former one.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


@given(p_values)
def test_holm_lies_between_none_and_bonferroni_and_keeps_the_order(values):
    corrected = holm(values)
    for value, result in zip(values, corrected, strict=True):
        assert value <= result <= max(value, min(1.0, len(values) * value)) or math.isclose(value, result)
    for i in range(len(values)):
        for j in range(len(values)):
            assert values[i] > values[j] or corrected[i] <= corrected[j]


@pytest.mark.parametrize("tests", [1, 2, 8])
def test_needed_cases(tests):
    cases = needed_cases(tests)
    assert tests * 2 / 2**cases < 0.05 <= tests * 2 / 2 ** (cases - 1)


def test_differences_in_the_last_bits_are_none():
    """Of means over seeds: the same three scores in another order."""
    assert (0.1 + 0.2 + 0.3) / 3 != (0.3 + 0.2 + 0.1) / 3
    first = {str(case): (0.1 + 0.2 + 0.3) / 3 + case for case in range(8)}
    again = {str(case): (0.3 + 0.2 + 0.1) / 3 + case for case in range(8)}
    (test,) = compare_to_first([first, again], groups={case: case for case in first})
    assert (test.n, test.ties, test.p, test.reason) == (8, 8, None, "equal in every group")
    # And differences of one size have one rank.
    steps = (0.1, 0.1, -0.1, 0.1, 0.2, 0.2, 0.2, -0.3)
    apart = {str(case): first[str(case)] + step for case, step in enumerate(steps)}
    (test,) = compare_to_first([first, apart])
    assert test.p == wilcoxon(steps).pvalue
