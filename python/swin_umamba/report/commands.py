"""The commands that repeat a run, its predictions, or its page."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ..common.settings import no_option_of, option_of
from ..runs.paths import settings_from
from ..runs.record import FinishedRun
from ..runs.settings import OF_PRETRAINED, PRETRAINABLE


def training_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Arguments of ``swin-umamba train`` that give these settings, whatever the defaults are.

    Parameters
    ----------
    settings
        What `Settings.as_json` gives, or a part of it. What is ``None`` there is left to nnU-Net or to
        the model, and is not said.
    """
    arguments = [] if settings.get("dataset") is None else [settings["dataset"]]
    for name, value in settings.items():
        option = option_of(name)
        if name == "dataset" or (name in OF_PRETRAINED and settings.get("pretrained") is None):
            continue
        if name == "sample" and settings.get("dataset") is not None:
            continue
        if name == "pretrained" and value is None:
            arguments += ["--no-pretrained"] if settings.get("model") in PRETRAINABLE else []
        elif isinstance(value, bool):
            arguments.append(option if value else no_option_of(name))
        elif isinstance(value, list):
            arguments += [option, *map(str, value)]
        elif value is not None:
            arguments += [option, str(value)]
    return arguments


def make_commands(run: FinishedRun) -> dict[str, str]:
    """Shell commands by what they do, to be given in the folder that holds the run."""
    root, record = run.folder.root, run.record
    processes = record.training.processes
    where = ["--device", record.device_type] if record.device_type else []
    where += ["--devices", str(processes)] if processes > 1 else []
    settings = settings_from(root.parent, record.settings)
    if settings.learning_rate is None:
        # The default depends on the data set too, and a comparison leaves the rate to the model everywhere.
        with contextlib.suppress(ValueError):  # of an edited record, whose rate no training can have
            settings = dataclasses.replace(settings, learning_rate=record.training.first_learning_rate)
    again = [*training_arguments(settings.as_json()), *where, "--output", f"{root.name}-again"]
    return {
        "Repeat the run from the start": _command("train", again),
        "Predict, score and draw again, without training": _command(
            "train", ["--resume", *where, "--output", root.name]
        ),
        "Write this page again": _command("report", [root.name]),
    }


def _command(name: str, arguments: Iterable[str]) -> str:
    """A command for a shell, an option and its values on each line."""
    lines = [f"swin-umamba {name}"]
    for argument in arguments:
        quoted = shlex.quote(argument)
        if argument.startswith("--"):
            lines.append(quoted)
        else:
            lines[-1] += f" {quoted}"
    return " \\\n  ".join(lines)
