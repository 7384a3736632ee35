"""What a finished system contributes to the table, read from its run folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import RunError, UserError
from ..page.run_record import RunRecord, read_run
from ..page.score_tables import PAPER_METRICS
from ..training.paper_protocol import find_protocol
from ..training.run_folder import RunFolder
from .measurements import Measurements


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
        By metric: ``dsc`` and ``nsd``, or ``f1``. Those of the paper's evaluation where the run has one.
    measurements : Measurements
        Time, memory and operations.
    """

    record: RunRecord
    scores: dict[str, Score]
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
    evaluation = record.metrics.get("evaluation")
    protocol = find_protocol(record.metrics["dataset"])
    if protocol is not None and evaluation is None and record.metrics.get("held_out_from") == "labelsTs":
        raise RunError(
            f"{folder.metrics} has no scores of the paper's metric ({protocol.metric}), by which systems are compared "
            f"on this data set; swin-umamba evaluate says what keeps {folder.predictions} from being scored"
        )
    scores = _own_scores(record.metrics["held_out"]) if evaluation is None else _paper_scores(evaluation, folder)
    return Result(record, scores, Measurements.read(folder.root))


def _own_scores(held_out: Mapping[str, Any]) -> dict[str, Score]:
    return {
        key: Score(
            held_out[key]["mean"],
            held_out[key]["std"],
            {case: float(np.mean(list(scores[key].values()))) for case, scores in held_out["per_case"].items()},
        )
        for key in ("dsc", "nsd")
    }


def _paper_scores(evaluation: Mapping[str, Any], folder: RunFolder) -> dict[str, Score]:
    keys = [key for key in PAPER_METRICS if key in evaluation]
    path = folder.evaluation / "cases.csv"
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
