"""The record of a comparison, and its forms: JSON, CSV, Markdown and a table for the terminal."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from rich.markup import escape
from rich.table import Table

from ..files import replace_atomically, write_json
from ..page.score_tables import PAPER_METRICS
from ..training.progress import clock
from .folder import ComparisonFolder
from .paired_test import compare_to_first, needed_cases
from .results import Result
from .systems import ComparedSystem, shared_settings

GIGA, MEGA = 1e9, 1e6
FEW_CASES = 10
DASH = "–"


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
    rows = [_row(system, results.get(system.name), failures.get(system.name)) for system in systems]
    first = results.get(systems[0].name)
    finished = [system for system in systems if system.name in results]
    keys = list(next(iter(results.values())).scores) if results else []
    if first is not None:
        for key in keys:
            tests = compare_to_first([results[system.name].scores[key].cases for system in finished])
            for system, test in zip(finished[1:], tests, strict=True):
                row = next(row for row in rows if row["name"] == system.name)
                row["against_first"][key] = asdict(test)
    return {
        "dataset": first.record.metrics["dataset"] if first else None,
        "settings": shared_settings(systems[0].settings),
        "command": shlex.join(command),
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "metrics": keys,
        "test": {
            "name": "Wilcoxon signed-rank test, two-sided, paired by case",
            "against": systems[0].name,
            "correction": "Holm, over the systems",
        },
        "systems": rows,
        "cautions": _cautions(rows, results, keys),
    }


def _row(system: ComparedSystem, result: Result | None, failure: str | None) -> dict[str, Any]:
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
        "scores": {key: asdict(score) for key, score in result.scores.items()},
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


def write_record(folder: ComparisonFolder, record: Mapping[str, Any]) -> None:
    """Write ``comparison.json``, ``comparison.csv`` and ``comparison.md``."""
    write_json(folder.record, record)
    for path, text in ((folder.values, _csv(record)), (folder.table, _markdown(record))):
        with replace_atomically(path) as file:
            file.write(text.encode())


def _csv(record: Mapping[str, Any]) -> str:
    fixed = (
        "name",
        "title",
        "state",
        "trainer",
        "learning_rate",
        "parameters",
        "multiply_accumulates",
        "selective_scan",
        "step_seconds",
        "peak_memory_bytes",
        "training_seconds",
    )
    tested = ("n", "ties", "difference", "p", "p_holm")
    columns = [f"{key}_{name}" for key in record["metrics"] for name in ("mean", "std", *tested)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*fixed, *columns, "failure"])
    for row in record["systems"]:
        values = []
        for key in record["metrics"]:
            score = row.get("scores", {}).get(key, {})
            test = row.get("against_first", {}).get(key, {})
            values += [score.get("mean"), score.get("std"), *(test.get(name) for name in tested)]
        writer.writerow([*(row.get(name) for name in fixed), *values, row.get("failure")])
    return text.getvalue()


def table_columns(record: Mapping[str, Any]) -> list[str]:
    """Headings of the table."""
    scores = [PAPER_METRICS[key] for key in record["metrics"]]
    memory = "GPU memory (GB)" if _on_gpu(record) else "memory (GB)"
    return ["system", "param (M)", "ops (G)", *scores, *(f"p, {name}" for name in scores), "step (s)", memory]


def table_row(record: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """One system in the words of the table; a system without result says why in the second cell."""
    if row["state"] != "finished":
        return [row["title"], row["state"], *[""] * (len(table_columns(record)) - 2)]
    scores = [row["scores"][key] for key in record["metrics"]]
    return [
        row["title"],
        f"{row['parameters'] / MEGA:.1f}",
        _number(row["multiply_accumulates"], "{:.2f}", GIGA),
        *(f"{_number(score['mean'], '{:.4f}')} ± {_number(score['std'], '{:.4f}')}" for score in scores),
        *(_p_value(row["against_first"].get(key)) for key in record["metrics"]),
        _number(row["step_seconds"], "{:#.3g}"),
        _number(row["peak_memory_bytes"], "{:.2f}", GIGA),
    ]


def explanations(record: Mapping[str, Any]) -> list[str]:
    """What the columns are, and under which budget they were made."""
    done = [row for row in record["systems"] if row["state"] == "finished"]
    if not done:
        return []
    settings, first = record["settings"], done[0]
    n_cases = len(first["scores"][record["metrics"][0]]["cases"])
    patch = "×".join(map(str, first["patch_size"]))
    memory = (
        "of tensors on the GPU" if _on_gpu(record) else "resident in main memory, Python and its libraries included"
    )
    title = next(row["title"] for row in record["systems"] if row["name"] == record["test"]["against"])
    rates = "; ".join(f"{row['title']} {_number(row['learning_rate'], '{:g}')}" for row in done)
    return [
        f"Budget of each system: epochs {settings['epochs']}, iterations of one {settings['iterations']}, batch "
        f"{first['batch_size']}, patch {patch}, fold {settings['fold']}, seed {settings['seed']}.",
        f"Optimizer and schedule are the system's own; learning rate of the first epoch: {rates}.",
        f"Scores: mean ± standard deviation (divided by n) over {n_cases} held-out cases"
        + (f"; NSD at a tolerance of {settings['nsd_tolerance']:g}." if "nsd" in record["metrics"] else "."),
        f"p: {record['test']['name']}, against {title}, corrected by {record['test']['correction']}; "
        f"cases with equal scores are left out by the test.",
        *_untested(record),
        f"ops: multiply-accumulates of one image of {patch} pixels, as fvcore counts them, selective scans included.",
        f"step: median time from a batch to the new weights, augmentation not included. memory: peak during the "
        f"training, {memory}; 1 GB is 10⁹ bytes.",
        f"Device: {first['device']}, {first['threads']} CPU threads. Versions: "
        + ", ".join(f"{name} {version}" for name, version in first["versions"].items())
        + ".",
    ]


def _untested(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for key in record["metrics"]:
        for row in record["systems"]:
            test = row.get("against_first", {}).get(key)
            if test and test["reason"]:
                lines.append(f"No p of {PAPER_METRICS[key]} for {row['title']}: {test['reason']}.")
    return lines


def _markdown(record: Mapping[str, Any]) -> str:
    columns = table_columns(record)
    rows = [table_row(record, row) for row in record["systems"]]
    lines = [
        f"# Comparison on {_escaped(record['dataset'] or 'the data set')}",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(map(_escaped, row)) + " |" for row in rows),
        "",
        *(f"- {_escaped(line)}" for line in explanations(record)),
        "",
    ]
    if record["cautions"]:
        lines += ["Before you quote these numbers:", "", *(f"- {_escaped(line)}" for line in record["cautions"]), ""]
    lines += ["```bash", record["command"], "```", ""]
    return "\n".join(lines)


def summary_table(record: Mapping[str, Any]) -> Table:
    """The table for the terminal."""
    table = Table()
    for place, name in enumerate(table_columns(record)):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in record["systems"]:
        table.add_row(*map(escape, table_row(record, row)))
    return table


def time_left(seconds: Sequence[float], systems: int) -> str:
    """What is left if the other systems take as long as those before, on average."""
    return f", about {clock(systems * sum(seconds) / len(seconds))} left" if seconds else ""


def _on_gpu(record: Mapping[str, Any]) -> bool:
    return any(row.get("device_type") == "cuda" for row in record["systems"])


def _p_value(test: Mapping[str, Any] | None) -> str:
    if test is None or test["p_holm"] is None:
        return DASH
    return "< 0.0001" if test["p_holm"] < 1e-4 else f"{test['p_holm']:.4f}"


def _number(value: float | None, form: str, unit: float = 1) -> str:
    return DASH if value is None else form.format(value / unit)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
