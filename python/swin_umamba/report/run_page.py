"""From a run's record to its page."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from ..common.files import replace_atomically
from ..common.pages import Pages
from ..common.progress import clock
from ..common.setting_kinds import spell
from ..figures import MISTAKES, class_colour, numbers_classes
from ..runs.paths import settings_from, text_from
from ..runs.record import FinishedRun, RunRecord, Timings, read_run
from ..runs.result_files import describe_files
from ..runs.settings import OF_PRETRAINED, Settings
from .baseline import find_baseline
from .cautions import make_cautions
from .charts import draw_curves, draw_distributions, draw_scores_over_size
from .commands import make_commands
from .data_summary import describe_data
from .example_pictures import make_gallery
from .pretrained_summary import summarise_pretrained
from .score_tables import (
    DEFINITIONS,
    STATISTICS,
    make_further_measures,
    make_group_spread,
    make_intervals,
    make_paper_scores,
    make_score_tables,
)

# More or longer names of classes stand upright above their columns.
MOST_LEVEL_NAMES, LONGEST_LEVEL_NAME = 4, 20

_PAGES = Pages("swin_umamba.report")


def write_page(run: Path, path: Path | None = None, measures: Sequence[str] | None = None) -> Path:
    """Write the page of a finished run.

    Parameters
    ----------
    run
        The results folder.
    path
        The file to write; ``report.html`` in the folder if ``None``.
    measures
        Which scores it shows, of `MEASURES`; ``None`` for those of the run's settings.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UserError
        The folder holds no finished run, or it lacks one of the measures.
    """
    finished = read_run(run)
    page = render_page(finished, measures)
    path = path or finished.folder.report
    with replace_atomically(path) as file:
        file.write(page.encode())
    return path


def render_page(run: FinishedRun, measures: Sequence[str] | None = None) -> str:
    """The page as one HTML document that loads nothing from elsewhere."""
    start = run.folder.root.parent
    record = dataclasses.replace(run.record, settings=settings_from(start, run.record.settings))
    measures = measures or record.settings.measures
    tables = make_score_tables(record.held_out, measures)
    classes = list(tables[0].per_class) if tables else []
    gallery = make_gallery(run, tables)
    script = _PAGES.source("sort_tables.js")
    return _PAGES.render(
        "page.html.j2",
        title=f"{record.model} on {record.dataset}",
        script=Markup(script),
        # The page may run this script and no other, and fetch nothing.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        record=record,
        training=record.training,
        cautions=[text_from(start, caution, run.dataset_folder) for caution in make_cautions(run)],
        paper_scores=make_paper_scores(record.evaluations),
        paper_metric=next((evaluation.metric for evaluation in record.evaluations.values()), None),
        pretrained=summarise_pretrained(record.training.pretrained),
        tables=tables,
        intervals={} if record.has_dependent_cases else make_intervals(tables, record.groups),
        group_spread=make_group_spread(tables, record.groups),
        further=make_further_measures(record.held_out, measures),
        definitions=[f"{table.name}: {DEFINITIONS[table.key]}" for table in tables],
        errors=[table.name for table in tables if table.is_error],
        statistics=STATISTICS,
        colours={name: class_colour(index) for index, name in enumerate(classes)},
        numbers={name: index + 1 for index, name in enumerate(classes)} if numbers_classes(len(classes)) else {},
        upright=len(classes) > MOST_LEVEL_NAMES or any(len(name) > LONGEST_LEVEL_NAME for name in classes),
        distributions=[*draw_distributions(tables), *draw_scores_over_size(tables, record.data)],
        gallery=gallery,
        problem=gallery.problem and text_from(start, gallery.problem, run.dataset_folder),
        mistakes=MISTAKES,
        baseline=find_baseline(run),
        content=describe_data(record),
        curves=draw_curves(record.training, record.settings.fold),
        settings=_settings_in_words(record),
        seconds=_timings(record.seconds),
        clock=clock,
        commands=make_commands(run),
        files=[(file.name, what) for file, what in describe_files(run.folder) if file != run.folder.report],
    )


def _settings_in_words(record: RunRecord) -> dict[str, str]:
    """The settings; where they leave something to nnU-Net or to the model, what that chose."""
    training, settings = record.training, record.settings
    chosen = {"batch_size": training.batch_size, "patch_size": training.patch_size}
    chosen["learning_rate"] = training.first_learning_rate
    words = {}
    for name, value in vars(settings).items():
        if name in OF_PRETRAINED and settings.pretrained is None:
            continue
        there = f"{spell(chosen[name], ' × ')}, " if value is None and name in chosen else ""
        words[Settings.title(name)] = there + Settings.in_words(name, value, " × ")
    return words


def _timings(seconds: Timings) -> dict[str, str]:
    timings = {name: clock(value) for name, value in seconds.phases.items()}
    if epochs := seconds.epochs:
        mean = math.fsum(epochs) / len(epochs)
        timings["one epoch"] = f"{mean:.1f} s (from {min(epochs):.1f} to {max(epochs):.1f} s)"
    return {**timings, "total": clock(seconds.total)}
