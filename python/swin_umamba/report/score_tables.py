"""The scores of the held-out cases, arranged for tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..evaluation.measure_names import FURTHER
from ..evaluation.scores import METRICS, PAPER_METRICS, describe
from ..evaluation.statistics import bootstrap_interval, spread
from ..paper.protocol import RULES
from ..runs.record import GroupRecord, HeldOutScores, PaperEvaluation, PaperStatistics, Statistics

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


@dataclass(frozen=True)
class FurtherMeasures:
    """The measures beside DSC and NSD.

    Attributes
    ----------
    names : dict
        From key to name.
    per_class, overall
        Statistics by key, of each class and of the means of the cases.
    missed, invented : dict
        By class, the cases whose reference alone has it, and whose prediction alone.
    """

    names: dict[str, str]
    per_class: dict[str, dict[str, Statistics]]
    overall: dict[str, Statistics]
    missed: dict[str, int]
    invented: dict[str, int]


def make_further_measures(held_out: HeldOutScores | None) -> FurtherMeasures | None:
    """Those of a run; ``None`` where nothing was held out, or a former version has not computed them."""
    if held_out is None or not held_out.further:
        return None
    classes, cases = held_out.classes, held_out.per_case.values()
    names = {key: name for key, name in FURTHER.items() if key in held_out.further}
    return FurtherMeasures(
        names,
        {name: {key: held_out.further[key].per_class[name] for key in names} for name in classes},
        {key: held_out.further[key] for key in names},
        {name: sum(name in (case.missed or ()) for case in cases) for name in classes},
        {name: sum(name in (case.invented or ()) for case in cases) for name in classes},
    )


def _statistics(values: Sequence[float]) -> Statistics:
    return Statistics(**describe(values))


def make_intervals(tables: Sequence[ScoreTable], groups: GroupRecord | None) -> dict[str, tuple[float, float]]:
    """The bootstrap interval of the mean of each metric, by its name; see `bootstrap_interval`."""
    of_scored = groups.of_scored if groups is not None else None
    intervals = {
        table.name: bootstrap_interval({row.identifier: row.mean for row in table.cases}, of_scored) for table in tables
    }
    return {name: interval for name, interval in intervals.items() if interval is not None}


def make_group_spread(tables: Sequence[ScoreTable], groups: GroupRecord | None) -> dict[str, float]:
    """Standard deviation of the groups' mean scores, by name of the metric; empty without groups."""
    if groups is None:
        return {}
    spreads = {
        table.name: spread({row.identifier: row.mean for row in table.cases}, groups.of_scored) for table in tables
    }
    return {name: std for name, std in spreads.items() if std is not None}


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
