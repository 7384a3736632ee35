"""The scores of the held-out cases, arranged for tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..evaluation.measure_names import ERRORS, FURTHER, MEASURES, PRIMARY
from ..evaluation.scores import PAPER_METRICS, describe
from ..evaluation.statistics import bootstrap_interval, spread
from ..paper.protocol import RULES
from ..runs.record import GroupRecord, HeldOutScores, PaperEvaluation, PaperStatistics, Statistics

STATISTICS = tuple(field.name for field in fields(Statistics))

DEFINITIONS = {
    "dsc": "Dice similarity coefficient",
    "nsd": "normalized surface distance",
    "hd95": "95th percentile of the Hausdorff distance",
    "assd": "average symmetric surface distance",
    "rve": "difference of the volumes as a share of the reference’s",
    "precision": "share of the prediction that is in the reference",
    "recall": "share of the reference that is in the prediction",
    "lesion_f1": "F1 of connected components, found where they are touched",
}


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
    def is_error(self) -> bool:
        """Whether it is best at 0; else it is a share, and best at 1."""
        return self.key in ERRORS

    @property
    def worst(self) -> float:
        """Mean of the worst case."""
        return self.cases[0].mean

    @property
    def top(self) -> float:
        """The end of an axis that starts at 0."""
        largest = max(max(values) for values in self.by_class.values())
        return (1.05 * largest or 1.0) if self.is_error else 1.0

    def share(self, score: float) -> float:
        """How good a score is, from 0 to 1; of errors among all of the table."""
        return 1 - score / self.top if self.is_error else score

    @property
    def by_class(self) -> dict[str, list[float]]:
        """The scores of all cases by class."""
        return {name: [case.by_class[name] for case in self.cases] for name in self.per_class}


def make_score_tables(held_out: HeldOutScores | None, measures: Sequence[str] | None = None) -> list[ScoreTable]:
    """One table for each of the measures, or else of DSC and NSD; none where nothing was held out.

    Raises
    ------
    UserError
        The run lacks one of them.
    """
    if held_out is None:
        return []
    tables = []
    for key in held_out.choose(measures or tuple(PRIMARY)):
        rows = []
        for case, scores in held_out.per_case.items():
            by_class = scores.by_metric[key]
            rows.append(CaseRow(case, float(np.mean(list(by_class.values()))), by_class, frozenset(scores.absent)))
        rows.sort(key=lambda row: row.mean, reverse=key in ERRORS)
        per_class = {label: _statistics([row.by_class[label] for row in rows]) for label in rows[0].by_class}
        overall = _statistics([row.mean for row in rows])
        tables.append(ScoreTable(key, MEASURES[key], rows, per_class, overall))
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


def make_further_measures(
    held_out: HeldOutScores | None, measures: Sequence[str] | None = None
) -> FurtherMeasures | None:
    """Those of a run, where nobody has said which it shows; what was missed and invented in any event.

    ``None`` where nothing was held out, or a former version has not computed them.
    """
    if held_out is None or not held_out.further:
        return None
    classes, cases = held_out.classes, held_out.per_case.values()
    names = {key: name for key, name in FURTHER.items() if key in held_out.further and measures is None}
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
