"""What scoring gives: the scores of a case, their names, their statistics over cases, and how these are shown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from ..common.files import replace_atomically, write_json
from .measure_names import MEASURES, PRIMARY

if TYPE_CHECKING:
    from .rules import Rule

METRICS = PRIMARY
"""What the first keys of a run's scores are called."""

PAPER_METRICS = {**MEASURES, "f1": "F1"}
"""The same of all keys."""


@dataclass(frozen=True)
class CaseScores:
    """The scores of one case.

    Attributes
    ----------
    case_means : dict
        From metric key (``dsc``, ``nsd``, ``f1``) to the case's own score; NaN where the case has none.
    per_class : dict
        From metric key to a dict from class name to score; a class that does not count in this case is missing or NaN.
    absent : tuple of str
        The classes of `per_class` that neither reference nor prediction has.
    counts : dict
        Numbers behind the scores, such as the cells that were matched.
    missed, invented : tuple of str
        The classes of `per_class` that the reference alone has, and the prediction alone.
    """

    case_means: dict[str, float]
    per_class: dict[str, dict[str, float]]
    absent: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()


def describe(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (divided by n), median, minimum and maximum."""
    array = np.array(values)
    statistics = {"mean": array.mean(), "std": array.std(), "median": np.median(array)}
    return {name: float(value) for name, value in {**statistics, "min": array.min(), "max": array.max()}.items()}


def worst_median_best(means: Sequence[float]) -> dict[int, str]:
    """Which cases to look at: the index of the worst, the median and the best one, and which of these it is.

    Of two cases there is no median, and a single one is ``"only"``.
    """
    ranked = sorted(range(len(means)), key=means.__getitem__)
    if len(ranked) == 1:
        return {0: "only"}
    middle = {ranked[len(ranked) // 2]: "median"} if len(ranked) > 2 else {}
    return {ranked[0]: "worst", **middle, ranked[-1]: "best"}


def cases_to_show(means: Sequence[float]) -> dict[int, str]:
    """The five worst cases, the median and the best one, from the worst on: their indices, and which they are.

    A case that is two of these is the later one. Of up to two cases this is `worst_median_best`.
    """
    if len(means) <= 2:
        return worst_median_best(means)
    ranked = sorted(range(len(means)), key=means.__getitem__)
    worst = dict(zip(ranked, ("worst", "2nd worst", "3rd worst", "4th worst", "5th worst"), strict=False))
    return {**worst, ranked[len(ranked) // 2]: "median", ranked[-1]: "best"}


@dataclass(frozen=True)
class Evaluation:
    """The scores of all cases, and how they were made.

    Attributes
    ----------
    rule : Rule
        How the cases were scored, with the labels of the data set.
    cases : dict
        From case name to its `CaseScores`.
    settings : dict
        What the numbers depend on.
    without_reference : list of str
        Cases that were predicted but not scored, for want of a reference.
    """

    rule: Rule
    cases: dict[str, CaseScores]
    settings: dict[str, object]
    without_reference: list[str] = field(default_factory=list)

    @property
    def metric(self) -> str:
        """One of `METRICS` of `swin_umamba.evaluation`."""
        return self.rule.name

    @property
    def keys(self) -> tuple[str, ...]:
        """The scores: ``("dsc", "nsd")`` or ``("f1",)``."""
        return self.rule.keys

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return tuple(self.rule.labels)

    def class_scores(self, key: str, name: str) -> np.ndarray:
        """Return the scores of one class over the cases in which it counts."""
        scores = np.array([case.per_class[key].get(name, math.nan) for case in self.cases.values()])
        counting: np.ndarray = scores[~np.isnan(scores)]
        return counting

    def summary(self) -> dict[str, Any]:
        """Return means and standard deviations, in the form of ``summary.json``; one dict, made once.

        ``std`` is the standard deviation (divided by n) over cases: of the cases' own scores, and for each class of
        its scores. A value that does not exist, such as the mean of a class that no case has, is None.
        """
        return self._summary

    @cached_property
    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = {"metric": self.metric, "n_cases": len(self.cases)}
        for key in self.keys:
            per_class = {name: _statistics(self.class_scores(key, name)) for name in self.classes}
            case_means = np.array([case.case_means[key] for case in self.cases.values()])
            overall = _statistics(case_means[~np.isnan(case_means)])
            if self.rule.mean_of_class_means:
                means = [entry["mean"] for entry in per_class.values() if entry["mean"] is not None]
                overall["mean"] = float(np.mean(means)) if means else None
            summary[key] = {**overall, "per_class": per_class}
        counts = [case.counts for case in self.cases.values()]
        if counts[0]:
            summary["counts"] = {name: sum(case[name] for case in counts) for name in counts[0]}
        return {**summary, "settings": self.settings, "not_scored_without_reference": self.without_reference}

    def write(self, folder: Path) -> None:
        """Write ``cases.csv`` (one line a case, empty where a score does not count) and ``summary.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        columns = [(key, name) for key in self.keys for name in self.classes if self.classes != ("cell",)]
        counts = list(next(iter(self.cases.values())).counts)
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["case", *self.keys, *counts, *(f"{key} {name}" for key, name in columns)])
        for case, scores in self.cases.items():
            values = [scores.case_means[key] for key in self.keys]
            values += [scores.counts[name] for name in counts]
            values += [scores.per_class[key].get(name, math.nan) for key, name in columns]
            writer.writerow([case, *("" if isinstance(v, float) and math.isnan(v) else v for v in values)])
        with replace_atomically(folder / "cases.csv") as file:
            file.write(table.getvalue().encode())
        write_json(folder / "summary.json", self.summary())


def _statistics(scores: np.ndarray) -> dict[str, float | int | None]:
    if scores.size == 0:
        return {"mean": None, "std": None, "n": 0}
    return {"mean": float(np.mean(scores)), "std": float(np.std(scores)), "n": int(scores.size)}


def summary_title(evaluation: Evaluation) -> str:
    """Return what `summary_table` shows, in one line."""
    n = len(evaluation.cases)
    how = ", as published" if evaluation.rule.as_published else ""
    return f"{evaluation.metric}{how}: mean ± standard deviation over {n} case{'' if n == 1 else 's'}"


def summary_table(evaluation: Evaluation) -> Table:
    """Return a table of mean ± standard deviation over cases: one row a class, the score last."""
    summary = evaluation.summary()
    table = Table()
    table.add_column("class")
    for key in evaluation.keys:
        table.add_column(PAPER_METRICS[key], justify="right")
    table.add_column("cases", justify="right")
    per_class = [summary[key]["per_class"] for key in evaluation.keys]
    if len(evaluation.classes) > 1:
        for name in evaluation.classes:
            entries = [classes[name] for classes in per_class]
            table.add_row(name, *map(_cell, entries), str(entries[0]["n"]))
        table.add_section()
    overall = "mean over classes" if evaluation.rule.mean_of_class_means else "mean over cases"
    table.add_row(overall, *(_cell(summary[key]) for key in evaluation.keys), str(summary["n_cases"]), style="bold")
    return table


def _cell(entry: dict[str, Any]) -> str:
    return "-" if entry["mean"] is None else f"{entry['mean']:.4f} ± {entry['std']:.4f}"
