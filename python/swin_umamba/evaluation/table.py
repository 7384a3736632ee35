"""The summary of an evaluation as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from .evaluation import Evaluation


def _cell(entry: dict) -> str:
    return "-" if entry["mean"] is None else f"{entry['mean']:.4f} ± {entry['std']:.4f}"


def summary_title(evaluation: Evaluation) -> str:
    """Return what the table shows, in one line."""
    n = len(evaluation.cases)
    how = ", as published" if evaluation.settings["as_published"] else ""
    return f"{evaluation.metric}{how}: mean ± standard deviation over {n} case{'' if n == 1 else 's'}"


def summary_table(evaluation: Evaluation) -> Table:
    """Return a table of mean ± standard deviation over cases: one row a class, the score last."""
    summary = evaluation.summary()
    table = Table()
    table.add_column("class")
    for key in evaluation.keys:
        table.add_column(key.upper(), justify="right")
    table.add_column("cases", justify="right")
    per_class = [summary[key]["per_class"] for key in evaluation.keys]
    if len(evaluation.classes) > 1:
        for name in evaluation.classes:
            entries = [classes[name] for classes in per_class]
            table.add_row(name, *map(_cell, entries), str(entries[0]["n"]))
        table.add_section()
    overall = "mean over classes" if evaluation.mean_of_class_means else "mean over cases"
    table.add_row(overall, *(_cell(summary[key]) for key in evaluation.keys), str(summary["n_cases"]), style="bold")
    return table
