"""Trains the systems of a comparison one after the other, and puts their results together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from ..common.console import PlainConsole
from ..common.errors import RunError
from ..common.summary import note
from ..comparison.folder import ComparisonFolder
from ..comparison.page import write_page
from ..comparison.panel import draw_comparison
from ..comparison.pooling import pool_systems
from ..comparison.record import ComparisonRecord, FinishedRow, SystemRow, make_record
from ..comparison.repeats import Repeats, list_runs
from ..comparison.report import summary_table, time_left, write_record
from ..comparison.results import Result, read_result
from ..comparison.systems import ComparedSystem
from ..datasets import RawDataset
from .comparison_process import run_process
from .simple_scores import score_simple_methods

MOST_NAMED = 15
"""Of the trainings that are to come; all systems are named, but not all folds and seeds of them."""


def execute_comparison(
    systems: Sequence[ComparedSystem],
    dataset: RawDataset,
    folder: ComparisonFolder,
    device: str,
    command: Sequence[str],
    console: PlainConsole,
    measures: Sequence[str] | None = None,
    repeats: Repeats | None = None,
) -> None:
    """Train what is not finished, and write the table after every system and the figure at the end.

    Parameters
    ----------
    systems
        The rows; their run folders are prepared.
    dataset
        That of all systems.
    folder
        Where everything goes.
    device
        Where to compute.
    command
        What repeats the comparison.
    console
        What the user sees.
    measures
        Which scores the table has; see `swin_umamba.comparison.record.make_record`.
    repeats
        Folds and seeds of each system; ``None`` for one run.

    Raises
    ------
    RunError
        A system failed; the others have been trained, and the table names it.
    """
    results: dict[str, Result] = {}
    failures: dict[str, str] = {}
    missing: list[ComparedSystem] = []
    runs = list_runs(systems, repeats)
    of_cells = systems[0].settings.dataset is None and systems[0].settings.sample == "cells"
    simple = score_simple_methods(dataset, folder, systems[0].settings.nsd_tolerance, console) if of_cells else []

    def record_so_far() -> ComparisonRecord:
        pooled, failed = pool_systems(systems, repeats, results, failures)
        return make_record(systems, pooled, failed, command, measures, repeats, simple)

    for system in runs:
        if not folder.run(system).is_finished:
            missing.append(system)
            continue
        try:
            results[system.name] = read_result(folder.run(system))
            console.print(f"{system.title} has been trained before")
        except RunError as error:
            missing.append(system)
            console.print(f"{system.title} is not as it was left: {error}", soft_wrap=True)
    seconds: list[float] = []
    for number, system in enumerate(missing, start=1):
        rest = missing[number:]
        more = f" and {len(rest) - MOST_NAMED} more" if len(rest) > MOST_NAMED else ""
        after = f"; after it {', '.join(other.title for other in rest[:MOST_NAMED])}{more}" if rest else ""
        console.rule(Text.assemble((system.title, "bold"), f" ({number} of {len(missing)} to train)"), align="left")
        console.print(f"now {system.title + after}{time_left(seconds, len(missing) - number + 1)}")
        start = time.monotonic()
        try:
            failure = run_process(folder.run(system).root, device)
        except KeyboardInterrupt:
            console.print(f"stopped at {system.title}; the same command goes on with it")
            raise
        seconds.append(time.monotonic() - start)
        if failure is None:
            try:
                results[system.name] = read_result(folder.run(system))
            except RunError as error:
                failure = str(error)
        if failure is not None:
            failures[system.name] = failure
            console.announce(f"{system.title} failed:", failure, style="red")
        write_record(folder, record_so_far())
    record = record_so_far()
    write_record(folder, record)
    pooled, _ = pool_systems(systems, repeats, results, failures)
    if repeats is not None and len(repeats.folds) > 1:
        folder.link_folds([run for run in runs if run.name in results and run.settings.seed == repeats.seeds[0]])
    finished = [system for system in systems if system.name in pooled]
    if finished:
        titles, drawn = zip(*((system.title, pooled[system.name]) for system in finished), strict=True)
        try:
            draw_comparison(folder.panel, dataset, titles, drawn)
        # Readers raise whatever their libraries raise. The table is there, and must not get lost with the figure.
        except Exception as error:
            console.print(f"the figure could not be drawn: {type(error).__name__}: {error}")
    write_page(folder, record)
    note(
        output=folder.root,
        page=folder.page,
        record=folder.record,
        systems=[_brief(row) for row in record.systems],
        failed=failures,
        cautions=record.cautions,
    )
    console.rule()
    console.print(summary_table(record))
    for line in record.cautions:
        console.print(f"- {line}", soft_wrap=True)
    console.print(f"results in {folder.root}", soft_wrap=True)
    for path, what in (
        (folder.page, "table and figure on one page, to open in a browser"),
        (folder.table, "the table with its conditions"),
        (folder.values, "the numbers of the table"),
        (folder.record, "everything, by case"),
        (folder.panel, "image | reference | every system"),
    ):
        if path.exists():
            console.print(f"  {path.name:<16} {what}")
    if failures:
        names = ", ".join(failures)
        what = "systems" if repeats is None else "trainings"
        raise RunError(f"{len(failures)} of {len(runs)} {what} failed ({names}); the same command tries them again")


def _brief(row: SystemRow) -> dict[str, Any]:
    scores = row.scores if isinstance(row, FinishedRow) else {}
    means = {metric: {"mean": score.mean, "std": score.std} for metric, score in scores.items()}
    return {"name": row.name, "title": row.title, "state": row.state, "scores": means}
