"""What a finished system contributes to the table, read from its run folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import RunError, UserError
from ..evaluation.scores import PAPER_METRICS
from ..paper.protocol import RULES, find_protocol
from ..runs.folder import RunFolder
from ..runs.record import RunRecord, read_run
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
    record : RunRecord
        Of its run.
    scores : dict
        By their key in ``metrics.json``, one of `RULES` or `OWN_SCORES`, the scores by metric: ``dsc`` and ``nsd``, or
        ``f1``.
    measurements : Measurements
        Time, memory and operations.
    """

    record: RunRecord
    scores: dict[str, dict[str, Score]]
    measurements: Measurements

    @property
    def learning_rate(self) -> float | None:
        """Of the first epoch."""
        return self.record.training["learning_rate"][0]


def read_result(folder: RunFolder) -> Result:
    """Read a finished run.

    Raises
    ------
    RunError
        Its files are damaged, nothing was scored, or it has not the scores that the other systems are compared by.
    """
    try:
        record = read_run(folder.root)
    except UserError as error:
        raise RunError(str(error)) from error
    if record.metrics.get("held_out") is None:
        raise RunError(f"{folder.metrics} has no scores: no case was held out")
    metrics = record.metrics
    protocol = find_protocol(metrics["dataset"])
    if protocol is not None and metrics.get("evaluation") is None and metrics.get("held_out_from") == "labelsTs":
        raise RunError(
            f"{folder.metrics} has no scores of the paper's metric ({protocol.metric}), by which systems are compared "
            f"on this data set; swin-umamba evaluate says what keeps {folder.predictions} from being scored"
        )
    scores = {rule: _paper_scores(metrics[rule], getattr(folder, rule)) for rule in RULES if metrics.get(rule)}
    scores[OWN_SCORES] = _own_scores(metrics["held_out"])
    return Result(record, scores, Measurements.read(folder.root))


def common_scores(results: Iterable[Result]) -> str:
    """Key of the scores to compare systems by: the paper's metric as published if all have it, else as defined.

    Systems without either, on other data sets, are compared by `OWN_SCORES`.
    """
    results = list(results)
    return next(key for key in (*RULES, OWN_SCORES) if all(key in result.scores for result in results))


def _own_scores(held_out: Mapping[str, Any]) -> dict[str, Score]:
    return {
        key: Score(
            held_out[key]["mean"],
            held_out[key]["std"],
            {case: float(np.mean(list(scores[key].values()))) for case, scores in held_out["per_case"].items()},
        )
        for key in ("dsc", "nsd")
    }


def _paper_scores(evaluation: Mapping[str, Any], folder: Path) -> dict[str, Score]:
    keys = [key for key in PAPER_METRICS if key in evaluation]
    path = folder / "cases.csv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        cases = {key: {row["case"]: _number(row[key]) for row in rows} for key in keys}
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f"cannot read the scores of the cases in {path}: {error}") from error
    return {key: Score(evaluation[key]["mean"], evaluation[key]["std"], cases[key]) for key in keys}


def _number(text: str) -> float | None:
    value = float(text) if text else math.nan
    return None if math.isnan(value) else value
