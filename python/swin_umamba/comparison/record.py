"""The record of a comparison: what ``comparison.json`` has, key by key, and all other forms are made of."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ..common.typed_json import as_json
from ..paper.protocol import RULES
from ..runs.record import EvaluationSettings
from ..runs.settings import Settings
from .paired_test import PairedTest, compare_to_first, needed_cases
from .results import OWN_SCORES, Result, Score, common_scores
from .systems import ComparedSystem, shared_settings

FEW_CASES = 10


@dataclass(frozen=True)
class SystemRow:
    """One system. ``state`` is in words: finished, failed, not trained yet."""

    name: str
    title: str
    model: str
    pretrained: str | None
    state: str


@dataclass(frozen=True)
class FailedRow(SystemRow):
    """A system that failed, and why."""

    failure: str


@dataclass(frozen=True)
class FinishedRow(SystemRow):
    """A system that was trained.

    Attributes
    ----------
    learning_rate : float or None
        Of the first epoch.
    multiply_accumulates, selective_scan, step_seconds, peak_memory_bytes
        See `swin_umamba.comparison.measurements.Measurements`; ``None`` where it was not measured.
    scores : dict
        By metric, those that the systems are compared by.
    other_scores : dict
        The same by the other rules of `RULES`.
    against_first : dict
        By metric, the test against the first system; empty for that itself, or where it is not finished.

    The other fields are those of the run's record.
    """

    trainer: str
    learning_rate: float | None
    batch_size: int
    patch_size: tuple[int, ...]
    parameters: int
    multiply_accumulates: int | None
    selective_scan: int | None
    step_seconds: float | None
    peak_memory_bytes: int | None
    training_seconds: float
    device: str
    device_type: str | None
    threads: int
    versions: dict[str, str]
    held_out_from: str | None
    scores: dict[str, Score]
    other_scores: dict[str, dict[str, Score]]
    against_first: dict[str, PairedTest]


@dataclass(frozen=True)
class PaperMetric:
    """The paper's metric that the systems are compared by, by which rule, and what it depends on."""

    metric: str
    rule: str
    settings: EvaluationSettings


@dataclass(frozen=True)
class TestNames:
    """Which test was made: ``against`` is the name of the first system."""

    name: str
    against: str
    correction: str


@dataclass(frozen=True)
class ComparisonRecord:
    """Everything that is known of a comparison.

    Attributes
    ----------
    dataset : str or None
        Name of the data set; ``None`` before the first system is trained.
    settings : Settings
        Of the first system; written are those that all systems share.
    command : str
        Repeats the comparison.
    written : str
        The time of day, as ISO 8601 has it.
    metrics : tuple of str
        The scores of the table, keys of `swin_umamba.evaluation.scores.PAPER_METRICS`.
    scores_from : str or None
        One of `RULES`, or `OWN_SCORES`; ``None`` without any result.
    evaluation : PaperMetric or None
        ``None`` for `OWN_SCORES`.
    test, systems, cautions
        The test, the rows of the table, and what to know before quoting it.
    """

    dataset: str | None
    settings: Settings
    command: str
    written: str
    metrics: tuple[str, ...]
    scores_from: str | None
    evaluation: PaperMetric | None
    test: TestNames
    systems: tuple[SystemRow, ...]
    cautions: tuple[str, ...]

    @property
    def finished(self) -> list[FinishedRow]:
        return [row for row in self.systems if isinstance(row, FinishedRow)]

    def as_json(self) -> dict[str, Any]:
        """The content of ``comparison.json``."""
        return {**as_json(self), "settings": shared_settings(self.settings)}


def make_record(
    systems: Sequence[ComparedSystem],
    results: Mapping[str, Result],
    failures: Mapping[str, str],
    command: Sequence[str],
) -> ComparisonRecord:
    """Put everything that is known of a comparison together.

    Parameters
    ----------
    systems
        The rows.
    results
        Of the finished ones, by name.
    failures
        Why others failed, by name; those in neither have not been trained yet.
    command
        What repeats the comparison.
    """
    scores_from = common_scores(results.values())
    keys = tuple(next(iter(results.values())).scores[scores_from]) if results else ()
    finished = [system.name for system in systems if system.name in results]
    tests: dict[str, dict[str, PairedTest]] = {name: {} for name in finished}
    first = results.get(systems[0].name)
    if first is not None:
        for key in keys:
            outcomes = compare_to_first([results[name].scores[scores_from][key].cases for name in finished])
            for name, test in zip(finished[1:], outcomes, strict=True):
                tests[name][key] = test
    rows = []
    for system in systems:
        known = system.name, system.title, system.settings.model, system.settings.pretrained
        if system.name in results:
            rows.append(_finished_row(known, results[system.name], scores_from, tests[system.name]))
        elif system.name in failures:
            rows.append(FailedRow(*known, "failed", failures[system.name]))
        else:
            rows.append(SystemRow(*known, "not trained yet"))
    return ComparisonRecord(
        dataset=first.run.record.dataset if first else None,
        settings=systems[0].settings,
        command=shlex.join(command),
        written=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        metrics=keys,
        scores_from=scores_from if results else None,
        evaluation=_papers_metric(results, scores_from),
        test=TestNames(
            name="Wilcoxon signed-rank test, two-sided, paired by case",
            against=systems[0].name,
            correction="Holm, over the systems",
        ),
        systems=tuple(rows),
        cautions=(*_cautions(rows, results, keys), *_not_as_published(systems, results, scores_from)),
    )


def _papers_metric(results: Mapping[str, Result], scores_from: str) -> PaperMetric | None:
    if not results or scores_from == OWN_SCORES:
        return None
    evaluation = next(iter(results.values())).run.record.evaluations[scores_from]
    return PaperMetric(evaluation.metric, RULES[scores_from], evaluation.settings)


def _finished_row(
    known: tuple[str, str, str, str | None], result: Result, scores_from: str, tests: dict[str, PairedTest]
) -> FinishedRow:
    record, measured = result.run.record, result.measurements
    training = record.training
    return FinishedRow(
        *known,
        state="finished",
        trainer=training.trainer,
        learning_rate=training.first_learning_rate,
        batch_size=training.batch_size,
        patch_size=training.patch_size,
        parameters=training.parameters,
        multiply_accumulates=measured.multiply_accumulates,
        selective_scan=measured.scan,
        step_seconds=measured.step_seconds,
        peak_memory_bytes=measured.peak_memory,
        training_seconds=record.seconds.training,
        device=record.device,
        device_type=record.device_type,
        threads=record.threads,
        versions=record.versions,
        held_out_from=record.held_out_from,
        scores=result.scores[scores_from],
        other_scores={rule: result.scores[rule] for rule in RULES if rule in result.scores and rule != scores_from},
        against_first=tests,
    )


def _cautions(rows: Sequence[SystemRow], results: Mapping[str, Result], keys: Sequence[str]) -> list[str]:
    cautions = [f"{row.title} failed: {row.failure}" for row in rows if isinstance(row, FailedRow)]
    done = [row for row in rows if isinstance(row, FinishedRow)]
    if not done:
        return cautions
    if any(result.run.record.is_sample for result in results.values()):
        cautions.append(
            "This is the sample data set: neighbouring slices of one averaged brain, and an easy task. Its cases are "
            "not independent, so the p-values do not hold; scores and ranking say nothing about other data."
        )
    cautions.append(
        "Each system was trained once. Another seed, or a longer training, may give another ranking; the test is over "
        "cases, and takes them to be independent."
    )
    if done[0].held_out_from == "validation":
        cautions.append("The scored cases are the validation cases of the fold; there are no labelled test cases.")
    n_cases = len(done[0].scores[keys[0]].cases)
    if n_cases < FEW_CASES:
        cautions.append(f"Few cases ({n_cases}): means and standard deviations of so few say little about others.")
    tested = [test for row in done if (test := row.against_first.get(keys[0])) and test.p is not None]
    if tested and min(test.n - test.ties for test in tested) < needed_cases(len(tested)):
        cautions.append(
            f"With {len(tested)} tests, a corrected p below 0.05 takes at least {needed_cases(len(tested))} cases that "
            f"differ."
        )
    for what in ("device", "threads", "versions"):
        if any(getattr(row, what) != getattr(done[0], what) for row in done):
            cautions.append(f"The {what} of the systems differ (see comparison.json); times and memory do not compare.")
    return cautions


def _not_as_published(systems: Sequence[ComparedSystem], results: Mapping[str, Result], scores_from: str) -> list[str]:
    """Which systems keep the table from the rule of the paper's tables, and why."""
    if scores_from != "evaluation":
        return []
    return [
        f"{system.title} has no score as published, so all scores here are as defined, and do not compare with the "
        f"paper's tables: {results[system.name].run.why_no_score('evaluation_as_published')}."
        for system in systems
        if system.name in results and results[system.name].run.record.evaluation_as_published is None
    ]
