"""The runs of a system with several folds and seeds, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..evaluation.statistics import bootstrap_interval, sample_deviation, spread
from .measurements import Measurements
from .repeats import Repeats, repeated
from .results import OWN_SCORES, Result, Score
from .systems import ComparedSystem


def pool_systems(
    systems: Sequence[ComparedSystem],
    repeats: Repeats | None,
    results: Mapping[str, Result],
    failures: Mapping[str, str],
) -> tuple[dict[str, Result], dict[str, str]]:
    """Results of the systems all of whose runs are finished, and failures of those that have a failed run.

    Parameters
    ----------
    systems, repeats
        The rows of the table, and their folds and seeds; ``None`` for one run of each.
    results, failures
        Of the runs, by name.
    """
    if repeats is None:
        return dict(results), dict(failures)
    pooled, failed = {}, {}
    for system in systems:
        names = [run.name for run in repeated(system, repeats)]
        if all(name in results for name in names):
            pooled[system.name] = pool([results[name] for name in names], repeats)
        elif broken := [name for name in names if name in failures]:
            failed[system.name] = f"{len(broken)} of {len(names)} runs, first {broken[0]}: {failures[broken[0]]}"
    return pooled, failed


def pool(results: Sequence[Result], repeats: Repeats) -> Result:
    """Put the runs of one system together.

    A case that several runs have scored has the mean of its scores; so over the folds of a cross-validation every case
    counts once, and over seeds the cases stay what they are. The mean is over these cases, deviation, interval and
    tests are over them or their groups. The paper's metric of test cases, which is no mean over cases on all data sets,
    is the mean of the runs.

    Parameters
    ----------
    results
        In the order of ``repeats.pairs``.
    repeats
        Their folds and seeds.
    """
    groups: dict[str, str] = {}
    for result in results:
        groups.update(result.groups or {})
    rules = [rule for rule in results[0].scores if all(rule in result.scores for result in results)]
    scores = {}
    for rule in rules:
        keys = [key for key in results[0].scores[rule] if all(key in result.scores[rule] for result in results)]
        scores[rule] = {
            key: _pool_scores(
                [result.scores[rule][key] for result in results], repeats, groups or None, rule == OWN_SCORES
            )
            for key in keys
        }
    first = results[0].measurements
    epochs = [epoch for result in results for epoch in result.measurements.epochs.values()]
    measured = Measurements(first.parameters, first.multiply_accumulates, first.scan, dict(enumerate(epochs)))
    runs = tuple(run for result in results for run in result.runs)
    return Result(results[0].run, scores, measured, runs, groups or None)


def _pool_scores(
    scores: Sequence[Score], repeats: Repeats, groups: Mapping[str, str] | None, over_cases: bool
) -> Score:
    of_case: dict[str, list[float]] = {}
    for score in scores:
        for case, value in score.cases.items():
            of_case.setdefault(case, []).extend([] if value is None else [value])
    cases = {case: float(np.mean(values)) if values else None for case, values in of_case.items()}
    counting = [value for value in cases.values() if value is not None]
    means = [score.mean for score in scores if score.mean is not None]
    all_told = len(means) == len(scores)
    if over_cases:
        mean = float(np.mean(counting)) if counting else None
    else:
        mean = float(np.mean(means)) if all_told else None
    fold_std, seed_std, seed_means = None, None, None
    if all_told:
        by_seed_and_fold = np.reshape(means, (len(repeats.seeds), len(repeats.folds)))
        fold_std, seed_std = (sample_deviation(by_seed_and_fold.mean(axis=axis)) for axis in (0, 1))
        seed_means = tuple(by_seed_and_fold.mean(axis=1).tolist()) if len(repeats.seeds) > 1 else None
    return Score(mean, spread(cases, groups), cases, bootstrap_interval(cases, groups), fold_std, seed_std, seed_means)
