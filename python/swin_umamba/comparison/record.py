"""The record of a comparison: what ``comparison.json`` has, and all other forms are made of."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ..paper.protocol import RULES
from ..runs.record import why_no_score
from .paired_test import compare_to_first, needed_cases
from .results import OWN_SCORES, Result, common_scores
from .systems import ComparedSystem, shared_settings

FEW_CASES = 10


def make_record(
    systems: Sequence[ComparedSystem],
    results: Mapping[str, Result],
    failures: Mapping[str, str],
    command: Sequence[str],
) -> dict[str, Any]:
    """Put everything that is known of a comparison together, as ``comparison.json`` has it.

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
    rows = [_row(system, results.get(system.name), failures.get(system.name), scores_from) for system in systems]
    first = results.get(systems[0].name)
    finished = [system for system in systems if system.name in results]
    keys = list(next(iter(results.values())).scores[scores_from]) if results else []
    if first is not None:
        for key in keys:
            tests = compare_to_first([results[system.name].scores[scores_from][key].cases for system in finished])
            for system, test in zip(finished[1:], tests, strict=True):
                row = next(row for row in rows if row["name"] == system.name)
                row["against_first"][key] = asdict(test)
    return {
        "dataset": first.record.metrics["dataset"] if first else None,
        "settings": shared_settings(systems[0].settings),
        "command": shlex.join(command),
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "metrics": keys,
        "scores_from": scores_from if results else None,
        "evaluation": _evaluation(results, scores_from),
        "test": {
            "name": "Wilcoxon signed-rank test, two-sided, paired by case",
            "against": systems[0].name,
            "correction": "Holm, over the systems",
        },
        "systems": rows,
        "cautions": [*_cautions(rows, results, keys), *_not_as_published(systems, results, scores_from)],
    }


def _evaluation(results: Mapping[str, Result], scores_from: str) -> dict[str, Any] | None:
    """What the scores depend on, where they are the paper's metric."""
    if not results or scores_from == OWN_SCORES:
        return None
    summary = next(iter(results.values())).record.metrics[scores_from]
    return {"metric": summary["metric"], "rule": RULES[scores_from], "settings": summary.get("settings", {})}


def _row(system: ComparedSystem, result: Result | None, failure: str | None, scores_from: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": system.name,
        "title": system.title,
        "model": system.settings.model,
        "pretrained": system.settings.pretrained,
        "state": "finished" if result else "failed" if failure else "not trained yet",
    }
    if failure is not None:
        row["failure"] = failure
    if result is None:
        return row
    metrics, measured = result.record.metrics, result.measurements
    training = metrics["training"]
    return {
        **row,
        "trainer": training["trainer"],
        "learning_rate": result.learning_rate,
        "batch_size": training["batch_size"],
        "patch_size": training["patch_size"],
        "parameters": training["parameters"],
        "multiply_accumulates": measured.multiply_accumulates,
        "selective_scan": measured.scan,
        "step_seconds": measured.step_seconds,
        "peak_memory_bytes": measured.peak_memory,
        "training_seconds": metrics["seconds"]["training"],
        "device": metrics["device"],
        "device_type": metrics.get("device_type"),
        "threads": metrics["threads"],
        "versions": metrics["versions"],
        "held_out_from": metrics.get("held_out_from"),
        "scores": {key: asdict(score) for key, score in result.scores[scores_from].items()},
        "other_scores": {
            rule: {key: asdict(score) for key, score in result.scores[rule].items()}
            for rule in RULES
            if rule in result.scores and rule != scores_from
        },
        "against_first": {},
    }


def _cautions(rows: Sequence[Mapping[str, Any]], results: Mapping[str, Result], keys: Sequence[str]) -> list[str]:
    cautions = [f"{row['title']} failed: {row['failure']}" for row in rows if row["state"] == "failed"]
    done = [row for row in rows if row["state"] == "finished"]
    if not done:
        return cautions
    if any(result.record.is_sample for result in results.values()):
        cautions.append(
            "This is the sample data set: neighbouring slices of one averaged brain, and an easy task. Its cases are "
            "not independent, so the p-values do not hold; scores and ranking say nothing about other data."
        )
    cautions.append(
        "Each system was trained once. Another seed, or a longer training, may give another ranking; the test is over "
        "cases, and takes them to be independent."
    )
    if done[0]["held_out_from"] == "validation":
        cautions.append("The scored cases are the validation cases of the fold; there are no labelled test cases.")
    n_cases = len(done[0]["scores"][keys[0]]["cases"])
    if n_cases < FEW_CASES:
        cautions.append(f"Few cases ({n_cases}): means and standard deviations of so few say little about others.")
    tests = [row["against_first"][keys[0]] for row in done if keys[0] in row["against_first"]]
    tested = [test for test in tests if test["p"] is not None]
    if tested and min(test["n"] - test["ties"] for test in tested) < needed_cases(len(tested)):
        cautions.append(
            f"With {len(tested)} tests, a corrected p below 0.05 takes at least {needed_cases(len(tested))} cases that "
            f"differ."
        )
    for what in ("device", "threads", "versions"):
        if any(row[what] != done[0][what] for row in done):
            cautions.append(f"The {what} of the systems differ (see comparison.json); times and memory do not compare.")
    return cautions


def _not_as_published(systems: Sequence[ComparedSystem], results: Mapping[str, Result], scores_from: str) -> list[str]:
    """Which systems keep the table from the rule of the paper's tables, and why."""
    if scores_from != "evaluation":
        return []
    return [
        f"{system.title} has no score as published, so all scores here are as defined, and do not compare with the "
        f"paper's tables: {why_no_score(record.metrics, 'evaluation_as_published', record.folder.root)}."
        for system in systems
        if system.name in results
        for record in (results[system.name].record,)
        if record.metrics.get("evaluation_as_published") is None
    ]
