"""The scores of the held-out cases, arranged for tables and charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.scores import METRICS, PAPER_METRICS, describe
from ..paper.protocol import RULES

STATISTICS = ("mean", "std", "median", "min", "max")


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
        Statistics over the cases by class; see `swin_umamba.evaluation.scores.describe`.
    overall : dict
        The same of the means of the cases.
    """

    key: str
    name: str
    cases: list[CaseRow]
    per_class: dict[str, dict[str, float]]
    overall: dict[str, float]

    @property
    def by_class(self) -> dict[str, list[float]]:
        """The scores of all cases by class."""
        return {name: [case.by_class[name] for case in self.cases] for name in self.per_class}


def make_score_tables(held_out: dict[str, Any] | None) -> list[ScoreTable]:
    """One table for each metric; none where nothing was held out.

    Parameters
    ----------
    held_out
        The value of this name in ``metrics.json``.
    """
    if held_out is None:
        return []
    tables = []
    for key, name in METRICS.items():
        rows = [
            CaseRow(case, float(np.mean(list(scores[key].values()))), scores[key], frozenset(scores.get("absent", ())))
            for case, scores in held_out["per_case"].items()
        ]
        rows.sort(key=lambda row: row.mean)
        classes = list(rows[0].by_class)
        per_class = {label: describe([row.by_class[label] for row in rows]) for label in classes}
        overall = describe([row.mean for row in rows])
        tables.append(ScoreTable(key, name, rows, per_class, overall))
    return tables


@dataclass(frozen=True)
class PaperScore:
    """One score of the paper's metric: ``mean``, ``std`` and ``n``, overall and by class.

    ``name`` says which, and by which rule: NSD as published.
    """

    name: str
    overall: dict[str, Any]
    per_class: dict[str, dict[str, Any]]


def make_paper_scores(metrics: dict[str, Any]) -> list[PaperScore]:
    """The scores of the paper's own metric, where the run has them: those as published first.

    Parameters
    ----------
    metrics
        The content of ``metrics.json``; under the keys of `RULES` it has what
        `swin_umamba.evaluation.Evaluation.summary` gave. Runs of former versions have no score as published.
    """
    scores = []
    for rule, words in RULES.items():
        evaluation = metrics.get(rule)
        if evaluation is None:
            continue
        for key, name in PAPER_METRICS.items():
            if key in evaluation:
                # Cells are one class, whose scores are those of the cases.
                per_class = {} if evaluation["metric"] == "cells" else evaluation[key]["per_class"]
                scores.append(PaperScore(f"{name} {words}", evaluation[key], per_class))
    return scores
