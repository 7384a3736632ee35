"""From a run's record to its page."""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..common.files import replace_atomically
from ..common.progress import clock
from ..common.setting_kinds import spell
from ..figures import class_colour, numbers_classes
from ..paper.protocol import RULES
from ..runs.record import RunRecord, read_run
from ..runs.result_files import describe_files
from ..runs.settings import OF_PRETRAINED, Settings
from .cautions import make_cautions
from .charts import draw_curves, draw_distributions
from .commands import make_commands
from .example_pictures import make_gallery
from .pretrained_summary import summarise_pretrained
from .score_tables import STATISTICS, make_paper_scores, make_score_tables

# More or longer names of classes stand upright above their columns.
MOST_LEVEL_NAMES, LONGEST_LEVEL_NAME = 4, 20

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("swin_umamba.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(run: Path, path: Path | None = None) -> Path:
    """Write the page of a finished run.

    Parameters
    ----------
    run
        The results folder.
    path
        The file to write; ``report.html`` in the folder if ``None``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UserError
        The folder holds no finished run.
    """
    record = read_run(run)
    page = render_page(record)
    path = path or record.folder.report
    with replace_atomically(path) as file:
        file.write(page.encode())
    return path


def render_page(record: RunRecord) -> str:
    """The page as one HTML document that loads nothing from elsewhere."""
    metrics, settings = record.metrics, Settings.from_json(record.settings)
    tables = make_score_tables(metrics.get("held_out"))
    classes = list(tables[0].per_class) if tables else []
    script = _asset("sort_tables.js")
    return _TEMPLATES.get_template("page.html.j2").render(
        title=f"{metrics['model']} on {metrics['dataset']}",
        style=Markup(_asset("page.css")),
        script=Markup(script),
        # The page may run this script and no other, and fetch nothing.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        metrics=metrics,
        finished=metrics.get("finished"),
        training=record.training,
        processes=record.training.get("processes", 1),
        cautions=make_cautions(record, tables),
        paper_scores=make_paper_scores(metrics),
        paper_metric=next((metrics[rule]["metric"] for rule in RULES if metrics.get(rule)), None),
        pretrained=summarise_pretrained(record.training.get("pretrained")),
        tables=tables,
        statistics=STATISTICS,
        tolerance=settings.nsd_tolerance,
        colours={name: class_colour(index) for index, name in enumerate(classes)},
        numbers={name: index + 1 for index, name in enumerate(classes)} if numbers_classes(len(classes)) else {},
        upright=len(classes) > MOST_LEVEL_NAMES or any(len(name) > LONGEST_LEVEL_NAME for name in classes),
        distributions=draw_distributions(tables),
        gallery=make_gallery(record, tables),
        curves=draw_curves(record.training, settings.fold),
        settings=_settings_in_words(settings, record.training),
        seconds=_timings(metrics["seconds"]),
        clock=clock,
        commands=make_commands(record),
        files=[(file.name, what) for file, what in describe_files(record.folder) if file != record.folder.report],
    )


def _asset(name: str) -> str:
    return _TEMPLATES.loader.get_source(_TEMPLATES, name)[0]


def _settings_in_words(settings: Settings, training: dict[str, Any]) -> dict[str, str]:
    """The settings; where they leave something to nnU-Net or to the model, what that chose."""
    chosen = {name: training[name] for name in ("batch_size", "patch_size")}
    chosen["learning_rate"] = training["learning_rate"][0]
    words = {}
    for name, value in vars(settings).items():
        if name in OF_PRETRAINED and settings.pretrained is None:
            continue
        there = f"{spell(chosen[name], ' × ')}, " if value is None and name in chosen else ""
        words[Settings.title(name)] = there + Settings.in_words(name, value, " × ")
    return words


def _timings(seconds: dict[str, Any]) -> dict[str, str]:
    phases = {name: clock(value) for name, value in seconds.items() if name not in ("epochs", "total")}
    epochs = seconds["epochs"]
    if epochs:
        mean = math.fsum(epochs) / len(epochs)
        phases["one epoch"] = f"{mean:.1f} s (from {min(epochs):.1f} to {max(epochs):.1f} s)"
    return {**phases, "total": clock(seconds["total"])}
