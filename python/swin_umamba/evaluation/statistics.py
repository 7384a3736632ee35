"""Statistics over cases, or over groups of cases that belong together: spread, and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST = 5
"""Fewer cases or groups have no interval: resampling so few says more than is known."""
_CHUNK = 2**22


def unit_of(groups: Mapping[str, str] | None) -> str:
    """What statistics are over: ``"case"``, or ``"group"`` where the user has said groups."""
    return "group" if groups else "case"


def group_means(scores: Mapping[str, float | None], groups: Mapping[str, str] | None) -> dict[str, float | None]:
    """Mean score of each group, over its cases that have one; without groups the scores of the cases.

    Parameters
    ----------
    scores
        By case; ``None`` where a case has none.
    groups
        Group of each case.
    """
    if groups is None:
        return dict(scores)
    members: dict[str, list[float]] = {}
    for case, score in scores.items():
        members.setdefault(groups[case], []).extend([] if score is None else [score])
    return {group: float(np.mean(values)) if values else None for group, values in members.items()}


def spread(scores: Mapping[str, float | None], groups: Mapping[str, str] | None) -> float | None:
    """Standard deviation (divided by n) of the `group_means`; ``None`` without any."""
    means = [mean for mean in group_means(scores, groups).values() if mean is not None]
    return float(np.std(means)) if means else None


def sample_deviation(values: Sequence[float] | np.ndarray) -> float | None:
    """Standard deviation divided by n - 1; ``None`` of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def bootstrap_interval(
    scores: Mapping[str, float | None], groups: Mapping[str, str] | None = None, seed: int = 0
) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean over cases, from samples of whole groups with replacement.

    [Efron 1979, Bootstrap methods: another look at the jackknife; Field and Welsh 2007, Bootstrapping clustered data.]

    Parameters
    ----------
    scores, groups
        As in `group_means`. Every case is a group of its own without ``groups``.
    seed
        Of the samples: the same scores have the same interval.

    Returns
    -------
    (float, float) or None
        ``None`` where there are fewer than `FEWEST` groups.
    """
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for case, score in scores.items():
        if score is not None:
            group = case if groups is None else groups[case]
            sums[group] = sums.get(group, 0.0) + score
            counts[group] = counts.get(group, 0) + 1
    n = len(sums)
    if n < FEWEST:
        return None
    # In one order, so that the same scores have the same interval in whatever order they come.
    totals, sizes = (np.array([values[group] for group in sorted(sums)], dtype=float) for values in (sums, counts))
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, RESAMPLES, step := max(1, _CHUNK // n)):
        drawn = rng.integers(n, size=(min(step, RESAMPLES - start), n))
        means.append(totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
