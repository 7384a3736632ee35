"""The scores of the held-out cases, arranged for tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..evaluation.scores import METRICS, PAPER_METRICS, describe
from ..paper.protocol import RULES
from ..runs.record import HeldOutScores, PaperEvaluation, PaperStatistics, Statistics

STATISTICS = tuple(field.name for field in fields(Statistics))


@dataclass(frozen=True)
class CaseRow:
    """Scores of one case by class, their mean, and the classes that neither mask has."""

    identifier: str
    mean: float
    by_class: dict[str, float]
    absent: frozenset[str]


@dataclass(frozen=True)
class ScoreTable:
    """One metric over all cases.

    Attributes
    ----------
    key, name : str
        ``dsc``, DSC.
    cases : list of CaseRow
        The worst one first.
    per_class : dict
        Statistics over the cases by class. They are computed anew: runs of former versions have not all of them.
    overall : Statistics
        The same of the means of the cases.
    """

    key: str
    name: str
    cases: list[CaseRow]
    per_class: dict[str, Statistics]
    overall: Statistics

    @property
    def by_class(self) -> dict[str, list[float]]:
        """The scores of all cases by class."""
        return {name: [case.by_class[name] for case in self.cases] for name in self.per_class}


def make_score_tables(held_out: HeldOutScores | None) -> list[ScoreTable]:
    """One table for each metric; none where nothing was held out."""
    if held_out is None:
        return []
    tables = []
    for key, name in METRICS.items():
        rows = []
        for case, scores in held_out.per_case.items():
            by_class = scores.by_metric[key]
            rows.append(CaseRow(case, float(np.mean(list(by_class.values()))), by_class, frozenset(scores.absent)))
        rows.sort(key=lambda row: row.mean)
        per_class = {label: _statistics([row.by_class[label] for row in rows]) for label in rows[0].by_class}
        overall = _statistics([row.mean for row in rows])
        tables.append(ScoreTable(key, name, rows, per_class, overall))
    return tables


def _statistics(values: Sequence[float]) -> Statistics:
    return Statistics(**describe(values))


@dataclass(frozen=True)
class PaperRow:
    """One score of the paper's metric, and which it is, and by which rule: NSD as published."""

    name: str
    overall: PaperStatistics
    per_class: dict[str, PaperStatistics]


def make_paper_scores(evaluations: Mapping[str, PaperEvaluation]) -> list[PaperRow]:
    """The scores of the paper's own metric, where the run has them, by the rules of `RULES`."""
    return [
        # The scores of a single class, as cells are, are those of the cases.
        PaperRow(f"{PAPER_METRICS[key]} {RULES[rule]}", score, score.per_class if len(score.per_class) > 1 else {})
        for rule, evaluation in evaluations.items()
        for key, score in evaluation.scores.items()
    ]
