"""A paired test of each system against the first, case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import wilcoxon

DIGITS = 10
"""Behind the point, of a difference. Means over seeds that are equal may differ in their last bits, and so may
differences of one size; the ranks of the test would hang on it."""

FEWEST = 6
"""Cases that must differ. With fewer no outcome is below 0.05: the smallest two-sided p of m cases is 2 / 2^m."""


@dataclass(frozen=True)
class PairedTest:
    """A system against the first, in one score.

    Attributes
    ----------
    n : int
        Cases that both have a score for.
    ties : int
        Those where the scores are equal, which the test leaves out.
    difference : float or None
        Mean over the n cases of the system's score minus the first's.
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


def compare_to_first(
    scores: Sequence[Mapping[str, float | None]], withheld: str | None = None, unit: str = "case"
) -> list[PairedTest]:
    """Test every system but the first against the first.

    Parameters
    ----------
    scores
        For each system the score of each case, or group of cases, by its name; ``None`` where it has none.
    withheld
        Why no p is to be computed, such as that the cases are not independent.
    unit
        What the scores are of, case or group, for the reasons.

    Returns
    -------
    list of PairedTest
        One for each system but the first.

    Notes
    -----
    The p-value is that of `scipy.stats.wilcoxon`, exact for up to 50 cases where no two differ by the same amount, and
    for up to 13 in any event; corrected over the systems [Holm 1979, A simple sequentially rejective multiple test
    procedure]. It takes the cases to be independent.
    """
    tests = [_test(scores[0], other, unit) for other in scores[1:]]
    if withheld is not None:
        return [replace(test, p=None, reason=withheld) for test in tests]
    corrected = iter(holm([test.p for test in tests if test.p is not None]))
    return [
        test if test.p is None else PairedTest(test.n, test.ties, test.difference, test.p, next(corrected))
        for test in tests
    ]


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


def _test(first: Mapping[str, float | None], other: Mapping[str, float | None], unit: str) -> PairedTest:
    cases = [case for case in first if first[case] is not None and other.get(case) is not None]
    a, b = (np.array([scores[case] for case in cases], dtype=float) for scores in (first, other))
    differences = np.round(b - a, DIGITS)
    differing = int(np.count_nonzero(differences))
    ties = len(cases) - differing
    difference = float((b - a).mean()) if cases else None
    if not cases:
        return PairedTest(0, 0, None, reason=f"no {unit} has a score of both")
    if not differing:
        return PairedTest(len(cases), ties, difference, reason=f"equal in every {unit}")
    if differing < FEWEST:
        what = f"{differing} {unit} differs" if differing == 1 else f"{differing} {unit}s differ"
        return PairedTest(len(cases), ties, difference, reason=f"too few: {what}, and the test needs {FEWEST}")
    # scipy leaves ties out too, but then has a normal approximation alone where the exact p is at hand.
    return PairedTest(len(cases), ties, difference, p=float(wilcoxon(differences[differences != 0]).pvalue))
