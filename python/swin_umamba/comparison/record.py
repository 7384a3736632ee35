"""The record of a comparison: what ``comparison.json`` has, key by key, and all other forms are made of."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ..common.typed_json import as_json
from ..evaluation.measure_names import MEASURES
from ..evaluation.statistics import sample_deviation, unit_of
from ..paper.protocol import RULES
from ..paper.systems import SYSTEMS
from ..runs.record import EvaluationSettings, FinishedRun, HeldOutScores
from ..runs.settings import Settings
from .paired_test import PairedTest, compare_pairs, needed_cases
from .repeats import Repeats, repeated
from .results import OWN_SCORES, Result, Score, SimpleResult, choose_scores, common_scores
from .shared_settings import shared_settings
from .systems import ComparedSystem

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
    multiply_accumulates, selective_scan, step_seconds, peak_memory_bytes, joules
        See `swin_umamba.comparison.measurements.Measurements`; ``None`` where it was not measured.
    scores : dict
        By metric, those that the systems are compared by.
    other_scores : dict
        The same by the other rules of `RULES`.
    against_first : dict
        By metric, the test against the first system; empty for that itself, or where it is not finished.
    twin : str or None
        Name of the row that is the same system without scans, from random weights as this one.
    against_twin : dict
        By metric, the test against that: what the scan is worth.
    runs : tuple of str
        Their folders.
    missed, invented : int
        Classes of cases that the reference alone has, and the prediction alone.

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
    joules: float | None
    training_seconds: float
    device: str
    device_type: str | None
    threads: int
    versions: dict[str, str]
    held_out_from: str | None
    scores: dict[str, Score]
    other_scores: dict[str, dict[str, Score]]
    against_first: dict[str, PairedTest]
    twin: str | None
    against_twin: dict[str, PairedTest]
    missed: int
    invented: int
    runs: tuple[str, ...]


@dataclass(frozen=True)
class SimpleRow:
    """A method without a network: what it does in words, and its scores by metric. It is not tested."""

    name: str
    title: str
    how: str
    scores: dict[str, Score]


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
    own_metrics : tuple of str
        Those among them that are not of ``scores_from`` but of `OWN_SCORES`.
    scores_from : str or None
        One of `RULES`, or `OWN_SCORES`; ``None`` without any result.
    evaluation : PaperMetric or None
        ``None`` for `OWN_SCORES`.
    repeats : Repeats or None
        Folds and seeds, where there are several.
    unit : str
        What deviations, intervals and tests are over, case or group.
    n_groups : int or None
        Groups of the scored cases, where the user has said them.
    test, systems, cautions
        The test, the rows of the table, and what to know before quoting it.
    simple : tuple of SimpleRow
        Further rows of methods without a network.
    """

    dataset: str | None
    settings: Settings
    command: str
    written: str
    metrics: tuple[str, ...]
    own_metrics: tuple[str, ...]
    scores_from: str | None
    evaluation: PaperMetric | None
    test: TestNames
    systems: tuple[SystemRow, ...]
    repeats: Repeats | None
    unit: str
    n_groups: int | None
    cautions: tuple[str, ...]
    simple: tuple[SimpleRow, ...] = ()

    @property
    def n_units(self) -> int:
        """How many of them were scored."""
        cases = self.finished[0].scores[self.metrics[0]].cases if self.finished and self.metrics else ()
        return self.n_groups or len(cases)

    @property
    def finished(self) -> list[FinishedRow]:
        return [row for row in self.systems if isinstance(row, FinishedRow)]

    @property
    def scored(self) -> list[FinishedRow | SimpleRow]:
        return [*self.finished, *self.simple]

    @property
    def rows(self) -> list[SystemRow | SimpleRow]:
        """Those of the table."""
        return [*self.systems, *self.simple]

    def as_json(self) -> dict[str, Any]:
        """The content of ``comparison.json``."""
        return {**as_json(self), "settings": shared_settings(self.settings)}


def make_record(
    systems: Sequence[ComparedSystem],
    results: Mapping[str, Result],
    failures: Mapping[str, str],
    command: Sequence[str],
    measures: Sequence[str] | None = None,
    repeats: Repeats | None = None,
    simple: Sequence[SimpleResult] = (),
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
    measures
        Which scores the table has, of `MEASURES`; ``None`` for DSC and NSD, or those of the paper's metric.
    repeats
        The folds and seeds over which the results are pooled; ``None`` for one run of each system.
    simple
        Methods without a network, for rows of their own.
    """
    scores_from = common_scores(results.values())
    # Of all that are finished data set, cases and groups are the same.
    some = next((results[system.name] for system in systems if system.name in results), None)
    places = choose_scores(results.values(), scores_from, measures)
    keys = tuple(places)
    finished = [system.name for system in systems if system.name in results]
    groups = some.groups if some else None
    unit = unit_of(groups)
    dependent = some is not None and some.run.record.has_dependent_cases
    withheld = "the cases of the sample are not independent" if dependent else None
    if withheld:
        results = {name: _without_intervals(result) for name, result in results.items()}

    def tested(others: Mapping[str, str]) -> dict[str, dict[str, PairedTest]]:
        """By system and metric, the tests of systems against others."""
        tests: dict[str, dict[str, PairedTest]] = {name: {} for name in others}
        for key, place in places.items():
            pairs = [tuple(results[name].scores[place][key] for name in pair) for pair in others.items()]
            outcomes = compare_pairs([(other.cases, one.cases) for one, other in pairs], groups, withheld)
            for name, (one, other), test in zip(others, pairs, outcomes, strict=True):
                tests[name][key] = replace(test, seed_std=_seed_spread(one, other))
        return tests

    first = systems[0].name
    against_first = tested({name: first for name in finished if name != first} if first in results else {})
    twins = _twins(systems, results)
    against_twin = tested(twins)
    rows: list[SystemRow] = []
    for system in systems:
        known = system.name, system.title, system.settings.model, system.settings.pretrained
        if system.name in results:
            tests = against_first.get(system.name, {})
            twin = twins.get(system.name), against_twin.get(system.name, {})
            rows.append(_finished_row(known, results[system.name], scores_from, places, tests, *twin))
        elif system.name in failures:
            rows.append(FailedRow(*known, "failed", failures[system.name]))
        else:
            rows.append(SystemRow(*known, "not trained yet"))
    return ComparisonRecord(
        dataset=some.run.record.dataset if some else None,
        settings=repeated(systems[0], repeats)[0].settings,
        command=shlex.join(command),
        written=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        metrics=keys,
        own_metrics=tuple(key for key, place in places.items() if place != scores_from),
        scores_from=scores_from if results else None,
        evaluation=_papers_metric(results, scores_from),
        test=TestNames(
            name=f"Wilcoxon signed-rank test, two-sided, paired by {unit}",
            against=systems[0].name,
            correction="Holm, over the systems",
        ),
        systems=tuple(rows),
        repeats=repeats,
        unit=unit,
        n_groups=len(set(groups.values())) if groups else None,
        cautions=(
            *_cautions(rows, results, keys, repeats, unit),
            *_not_as_published(systems, results, scores_from),
            *_left_out(systems, results, [key for key in measures or () if results and key not in keys]),
        ),
        simple=tuple(
            SimpleRow(
                method.name,
                method.title,
                method.how,
                {key: method.scores[place][key] for key, place in places.items() if place in method.scores},
            )
            for method in simple
        ),
    )


def _without_intervals(result: Result) -> Result:
    """What is known of a system whose cases are not independent."""
    scores = {
        rule: {key: replace(score, interval=None) for key, score in by_metric.items()}
        for rule, by_metric in result.scores.items()
    }
    return replace(result, scores=scores)


def _twins(systems: Sequence[ComparedSystem], results: Mapping[str, Result]) -> dict[str, str]:
    """Name of the row without scans, by that of the row with them, where both are finished and from random weights."""
    found = {}
    for system in systems:
        twin_of = SYSTEMS[system.settings.model].twin_of
        for other in systems:
            both = other.name in results and system.name in results
            if both and other.settings.model == twin_of and other.settings.pretrained is None:
                found[other.name] = system.name
    return found


def _seed_spread(one: Score, other: Score) -> float | None:
    """See `PairedTest.seed_std`: with one seed systems have data, and twins weights, in common."""
    if one.seed_means is None or other.seed_means is None:
        return None
    return sample_deviation([a - b for a, b in zip(one.seed_means, other.seed_means, strict=True)])


def _papers_metric(results: Mapping[str, Result], scores_from: str) -> PaperMetric | None:
    if not results or scores_from == OWN_SCORES:
        return None
    evaluation = next(iter(results.values())).run.record.evaluations[scores_from]
    return PaperMetric(evaluation.metric, RULES[scores_from], evaluation.settings)


def _held_out(run: FinishedRun) -> HeldOutScores:
    scores = run.record.held_out
    assert scores is not None  # or it would not have been read
    return scores


def _finished_row(
    known: tuple[str, str, str, str | None],
    result: Result,
    scores_from: str,
    places: Mapping[str, str],
    tests: dict[str, PairedTest],
    twin: str | None,
    against_twin: dict[str, PairedTest],
) -> FinishedRow:
    record, measured = result.run.record, result.measurements
    cases = [case for run in result.runs for case in _held_out(run).per_case.values()]
    folder = result.run.folder.root
    # Several runs of a system lie in its folder.
    above = folder.parent if known[0] == folder.name else folder.parent.parent
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
        joules=measured.joules,
        training_seconds=sum(run.record.seconds.training for run in result.runs),
        device=record.device,
        device_type=record.device_type,
        threads=record.threads,
        versions=record.versions,
        held_out_from=record.held_out_from,
        scores={key: result.scores[place][key] for key, place in places.items()},
        other_scores={rule: result.scores[rule] for rule in RULES if rule in result.scores and rule != scores_from},
        against_first=tests,
        twin=twin,
        against_twin=against_twin,
        missed=sum(len(case.missed or ()) for case in cases),
        invented=sum(len(case.invented or ()) for case in cases),
        runs=tuple(run.folder.root.relative_to(above).as_posix() for run in result.runs),
    )


def _cautions(
    rows: Sequence[SystemRow], results: Mapping[str, Result], keys: Sequence[str], repeats: Repeats | None, unit: str
) -> list[str]:
    cautions = [f"{row.title} failed: {row.failure}" for row in rows if isinstance(row, FailedRow)]
    done = [row for row in rows if isinstance(row, FinishedRow)]
    if not done:
        return cautions
    sample = next(iter(results.values())).run.record
    if sample.is_sample and sample.settings.sample == "cells":
        cautions.append("This is the sample of drawn cells: scores and ranking say nothing about other data.")
    elif sample.is_sample:
        cautions.append(
            "This is the sample data set: neighbouring slices of one averaged brain, and an easy task. Its cases are "
            "not independent, so there are neither p-values nor intervals; scores and ranking say nothing about other "
            "data."
        )
    if suspected := next((s for result in results.values() if (s := result.run.record.suspected_groups)), None):
        cautions.append(suspected)
    groups = next((result.groups for result in results.values() if result.groups), None)
    seeds = 1 if repeats is None else len(repeats.seeds)
    trained = "once. Another seed, or a longer training," if seeds == 1 else f"with {seeds} seeds. A longer training"
    tests = [by.get(keys[0]) for row in done for by in (row.against_first, row.against_twin)] if keys else []
    tested = [test for test in tests if test and test.p is not None]
    if len(rows) > 1:
        over = "cases, and takes them" if unit == "case" else "groups of cases, and takes the groups"
        independent = f"; the test is over {over} to be independent" if tested else ""
        cautions.append(f"Each system was trained {trained} may give another ranking{independent}.")
    if done[0].held_out_from == "validation":
        folds = "folds" if repeats is not None and len(repeats.folds) > 1 else "fold"
        cautions.append(f"The scored cases are the validation cases of the {folds}; there are no labelled test cases.")
    cases = done[0].scores[keys[0]].cases if keys else _held_out(results[done[0].name].run).per_case
    n_units = len(set(map(groups.__getitem__, cases))) if groups else len(cases)
    if n_units < FEW_CASES:
        cautions.append(f"Few {unit}s ({n_units}): means and standard deviations of so few say little about others.")
    if tested and min(test.n - test.ties for test in tested) < needed_cases(len(tested)):
        cautions.append(
            f"With {len(tested)} tests, a corrected p below 0.05 takes at least {needed_cases(len(tested))} "
            f"{unit}s that differ."
        )
    for what in ("device", "threads", "versions"):
        if any(getattr(row, what) != getattr(done[0], what) for row in done):
            cautions.append(f"The {what} of the systems differ (see comparison.json); times and memory do not compare.")
    return cautions


def _left_out(systems: Sequence[ComparedSystem], results: Mapping[str, Result], measures: Sequence[str]) -> list[str]:
    """Which measures the table has not, and whose run lacks them."""
    lines = []
    for key in measures:
        lacking = [s.title for s in systems if s.name in results and key not in results[s.name].scores[OWN_SCORES]]
        lines.append(f"No {MEASURES[key]}: a former version trained {', '.join(lacking)}, and did not compute it.")
    return lines


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
