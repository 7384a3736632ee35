"""Paired differences of two systems, case by case: mean, interval and test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import wilcoxon

from ..evaluation.statistics import bootstrap_interval, group_means, unit_of

DIGITS = 10
"""Behind the point, of a difference. Means over seeds that are equal may differ in their last bits, and so may
differences of one size; the ranks of the test would hang on it."""

FEWEST = 6
"""Cases that must differ. With fewer no outcome is below 0.05: the smallest two-sided p of m cases is 2 / 2^m."""


@dataclass(frozen=True)
class PairedTest:
    """A system against another, in one score.

    Attributes
    ----------
    n : int
        Cases, or groups of cases, that both have a score for.
    ties : int
        Those where the scores are equal, which the test leaves out.
    difference : float or None
        Mean over the cases of the system's score minus the other's.
    interval : (float, float) or None
        Of the difference; see `swin_umamba.evaluation.statistics.bootstrap_interval`. ``None`` where that has none, or
        where no p is to be computed.
    seed_std : float or None
        Standard deviation (divided by n - 1) over seeds of the difference of the means with one seed.
    p : float or None
        Of the two-sided Wilcoxon signed-rank test; ``None`` if it was not made.
    p_holm : float or None
        After Holm's correction for the number of tests.
    reason : str or None
        Why there is no p.
    """

    n: int
    ties: int
    difference: float | None
    p: float | None = None
    p_holm: float | None = None
    reason: str | None = None
    interval: tuple[float, float] | None = None
    seed_std: float | None = None

    @property
    def low(self) -> float | None:
        return self.interval and self.interval[0]

    @property
    def high(self) -> float | None:
        return self.interval and self.interval[1]


Scores = Mapping[str, "float | None"]


def compare_pairs(
    pairs: Sequence[tuple[Scores, Scores]], groups: Mapping[str, str] | None = None, withheld: str | None = None
) -> list[PairedTest]:
    """Test systems, each against another.

    Parameters
    ----------
    pairs
        The other's and the system's score of each case, by its name; ``None`` where it has none.
    groups
        Group of each case; the test is then over the means of the groups.
    withheld
        Why no p and no interval is to be computed, such as that the cases are not independent.

    Returns
    -------
    list of PairedTest
        One for each pair.

    Notes
    -----
    The p-value is that of `scipy.stats.wilcoxon`, exact for up to 50 cases where no two differ by the same amount, and
    for up to 13 in any event; corrected over the systems [Holm 1979, A simple sequentially rejective multiple test
    procedure]. It takes the cases, or groups, to be independent.
    """
    tests = [_test(first, other, groups) for first, other in pairs]
    if withheld is not None:
        return [replace(test, p=None, interval=None, reason=withheld) for test in tests]
    corrected = iter(holm([test.p for test in tests if test.p is not None]))
    return [test if test.p is None else replace(test, p_holm=next(corrected)) for test in tests]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number: the i-th smallest of k, i from 0, times k - i, never below a smaller one."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def needed_cases(tests: int) -> int:
    """Cases that must differ for Holm's smallest p of so many tests to be able to be below 0.05."""
    return math.ceil(1 + math.log2(tests / 0.05))


def _test(first: Scores, other: Scores, groups: Mapping[str, str] | None) -> PairedTest:
    unit = unit_of(groups)
    of_case = {case: b - a for case, a in first.items() if a is not None and (b := other.get(case)) is not None}
    if not of_case:
        return PairedTest(0, 0, None, reason=f"no {unit} has a score of both")
    differences = np.round(np.array(list(group_means(of_case, groups).values()), dtype=float), DIGITS)
    differing = int(np.count_nonzero(differences))
    difference, interval = float(np.mean(list(of_case.values()))), bootstrap_interval(of_case, groups)
    test = PairedTest(len(differences), len(differences) - differing, difference, interval=interval)
    if not differing:
        return replace(test, reason=f"equal in every {unit}")
    if differing < FEWEST:
        what = f"{differing} {unit} differs" if differing == 1 else f"{differing} {unit}s differ"
        return replace(test, reason=f"too few: {what}, and the test needs {FEWEST}")
    # scipy leaves ties out too, but then has a normal approximation alone where the exact p is at hand.
    return replace(test, p=float(wilcoxon(differences[differences != 0]).pvalue))
