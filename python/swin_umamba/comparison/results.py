"""What a finished system contributes to the table, read from its run folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..common.errors import RunError, UserError
from ..evaluation.measure_names import PRIMARY
from ..evaluation.statistics import bootstrap_interval, spread
from ..paper.protocol import RULES, find_protocol
from ..runs.folder import RunFolder
from ..runs.record import FinishedRun, HeldOutScores, PaperEvaluation, read_run
from .measurements import Measurements

OWN_SCORES = "held_out"
"""Key in ``metrics.json`` of the scores that every run has."""


@dataclass(frozen=True)
class Score:
    """One metric of one system.

    Attributes
    ----------
    mean, std : float or None
        As the run's ``metrics.json`` has them; the standard deviation is over cases, divided by n. Where cases have
        groups, it is over the means of the groups.
    cases : dict
        Score of each case, ``None`` where it has none.
    interval : (float, float) or None
        See `swin_umamba.evaluation.statistics.bootstrap_interval`.
    fold_std, seed_std : float or None
        Standard deviation (divided by n - 1) of the means of several folds, and of several seeds.
    seed_means : tuple of float or None
        The means of several seeds.
    """

    mean: float | None
    std: float | None
    cases: dict[str, float | None]
    interval: tuple[float, float] | None = None
    fold_std: float | None = None
    seed_std: float | None = None
    seed_means: tuple[float, ...] | None = None

    @property
    def low(self) -> float | None:
        return self.interval and self.interval[0]

    @property
    def high(self) -> float | None:
        return self.interval and self.interval[1]


@dataclass(frozen=True)
class Result:
    """A finished system.

    Attributes
    ----------
    run : FinishedRun
        Its folder and record.
    scores : dict
        By their key in ``metrics.json``, one of `RULES` or `OWN_SCORES`, the scores by metric: ``dsc`` and ``nsd``, or
        ``f1``. `OWN_SCORES` have all measures.
    measurements : Measurements
        Time, memory and operations.
    runs : tuple of FinishedRun
        All runs of the system, `run` first: there are several of several folds or seeds.
    groups : dict or None
        Group of each scored case, where the user has said it.
    """

    run: FinishedRun
    scores: dict[str, dict[str, Score]]
    measurements: Measurements
    runs: tuple[FinishedRun, ...] = ()
    groups: Mapping[str, str] | None = None

    def prediction(self, case: str, ending: str) -> Path:
        """The predicted label image of a case, of the first run that scored it."""
        run = next(run for run in self.runs if run.record.held_out and case in run.record.held_out.per_case)
        return Path(run.folder.predictions / f"{case}{ending}")


@dataclass(frozen=True)
class SimpleResult:
    """A method without a network: name and title, how it works in words, and its scores as `Result` has them."""

    name: str
    title: str
    how: str
    scores: dict[str, dict[str, Score]]


def read_result(folder: RunFolder) -> Result:
    """Read a finished run.

    Raises
    ------
    RunError
        Its files are damaged, nothing was scored, or it has not the scores that the other systems are compared by.
    """
    try:
        run = read_run(folder.root)
    except UserError as error:
        raise RunError(str(error)) from error
    record = run.record
    if record.held_out is None:
        raise RunError(f"{folder.metrics} has no scores: no case was held out")
    protocol = find_protocol(record.dataset)
    if protocol is not None and record.evaluation is None and record.held_out_from == "labelsTs":
        raise RunError(
            f"{folder.metrics} has no scores of the paper's metric ({protocol.metric}), by which systems are compared "
            f"on this data set; swin-umamba evaluate says what keeps {folder.predictions} from being scored"
        )
    groups = record.groups.of_scored if record.groups is not None else None
    scores = scores_by_rule(folder, record.evaluations, record.held_out, groups)
    return Result(run, scores, Measurements.read(folder.root), (run,), groups)


def scores_by_rule(
    folder: RunFolder,
    evaluations: Mapping[str, PaperEvaluation],
    held_out: HeldOutScores,
    groups: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Score]]:
    """What `Result.scores` has, of the scores of a folder by the paper's metric and of its own."""
    scores = {rule: _paper_scores(found, getattr(folder, rule)) for rule, found in evaluations.items()}
    scores[OWN_SCORES] = _own_scores(held_out)
    return {
        rule: {key: _over_groups(score, groups) for key, score in by_metric.items()}
        for rule, by_metric in scores.items()
    }


def _over_groups(score: Score, groups: Mapping[str, str] | None) -> Score:
    std = score.std if groups is None else spread(score.cases, groups)
    return replace(score, std=std, interval=bootstrap_interval(score.cases, groups))


def common_scores(results: Iterable[Result]) -> str:
    """Key of the scores to compare systems by: the paper's metric as published if all have it, else as defined.

    Systems without either, on other data sets, are compared by `OWN_SCORES`.
    """
    results = list(results)
    return next(key for key in (*RULES, OWN_SCORES) if all(key in result.scores for result in results))


def choose_scores(results: Iterable[Result], scores_from: str, measures: Sequence[str] | None) -> dict[str, str]:
    """Which scores the table has, and where each comes from.

    Parameters
    ----------
    results
        Of the systems.
    scores_from
        See `common_scores`.
    measures
        Keys of `swin_umamba.evaluation.measure_names.MEASURES`; ``None`` for what the scores are made for.

    Returns
    -------
    dict
        From metric to ``scores_from``, or to `OWN_SCORES` where it is not among those. Measures that a run of a former
        version lacks are left out.
    """
    results = list(results)
    if not results:
        return {}
    made = results[0].scores[scores_from]
    if measures is None:
        return dict.fromkeys(PRIMARY if scores_from == OWN_SCORES else made, scores_from)
    places = {key: scores_from if key in made else OWN_SCORES for key in measures}
    return {key: place for key, place in places.items() if all(key in result.scores[place] for result in results)}


def _own_scores(held_out: HeldOutScores) -> dict[str, Score]:
    scores = {}
    for key, whole in held_out.by_metric.items():
        cases = {case: list(values.by_metric[key].values()) for case, values in held_out.per_case.items()}
        scores[key] = Score(whole.mean, whole.std, {case: float(np.mean(values)) for case, values in cases.items()})
    return scores


def _paper_scores(evaluation: PaperEvaluation, folder: Path) -> dict[str, Score]:
    path = folder / "cases.csv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            key: Score(score.mean, score.std, {row["case"]: _number(row[key]) for row in rows})
            for key, score in evaluation.scores.items()
        }
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise RunError(f"cannot read the scores of the cases in {path}: {error}") from error


def _number(text: str) -> float | None:
    value = float(text) if text else math.nan
    return None if math.isnan(value) else value
