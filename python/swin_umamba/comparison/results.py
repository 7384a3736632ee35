"""What a finished system contributes to the table, read from its run folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.errors import RunError, UserError
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
        As the run's ``metrics.json`` has them; the standard deviation is over cases, divided by n.
    cases : dict
        Score of each case, ``None`` where it has none.
    """

    mean: float | None
    std: float | None
    cases: dict[str, float | None]


@dataclass(frozen=True)
class Result:
    """A finished system.

    Attributes
    ----------
    run : FinishedRun
        Its folder and record.
    scores : dict
        By their key in ``metrics.json``, one of `RULES` or `OWN_SCORES`, the scores by metric: ``dsc`` and ``nsd``, or
        ``f1``.
    measurements : Measurements
        Time, memory and operations.
    """

    run: FinishedRun
    scores: dict[str, dict[str, Score]]
    measurements: Measurements


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
    scores = {rule: _paper_scores(found, getattr(folder, rule)) for rule, found in record.evaluations.items()}
    scores[OWN_SCORES] = _own_scores(record.held_out)
    return Result(run, scores, Measurements.read(folder.root))


def common_scores(results: Iterable[Result]) -> str:
    """Key of the scores to compare systems by: the paper's metric as published if all have it, else as defined.

    Systems without either, on other data sets, are compared by `OWN_SCORES`.
    """
    results = list(results)
    return next(key for key in (*RULES, OWN_SCORES) if all(key in result.scores for result in results))


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
