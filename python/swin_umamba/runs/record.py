"""What a finished run has written down about itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..paper.protocol import RULES
from .folder import RunFolder
from .kind import want_run_of
from .settings import Settings

_NUMBER = (int, float)
_CURVES = ("train_loss", "validation_loss", "validation_dice", "learning_rate")

# The values that the page cannot do without, by place and key.
_WANTED: dict[tuple[str, ...], dict[str, type | tuple[type, ...]]] = {
    (): {
        "dataset": str,
        "model": str,
        "training": dict,
        "settings": dict,
        "seconds": dict,
        "device": str,
        "threads": int,
        "versions": dict,
    },
    ("training",): {
        "trainer": str,
        "parameters": int,
        "batch_size": int,
        "patch_size": list,
        **dict.fromkeys(_CURVES, list),
    },
    ("seconds",): {"total": _NUMBER, "training": _NUMBER, "epochs": list},
}


@dataclass(frozen=True)
class RunRecord:
    """A finished run: its folder and the content of its ``metrics.json``."""

    folder: RunFolder
    metrics: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        return self.metrics["settings"]

    @property
    def training(self) -> dict[str, Any]:
        return self.metrics["training"]

    @property
    def is_sample(self) -> bool:
        return self.settings.get("dataset") is None

    @property
    def dataset_folder(self) -> Path:
        """Where the raw data set was when the run was trained."""
        if self.is_sample:
            return self.folder.raw / self.metrics["dataset"]
        return Path(self.settings["dataset"])


def read_run(root: Path) -> RunRecord:
    """Read the record of a run.

    Parameters
    ----------
    root
        The results folder.

    Raises
    ------
    UserError
        The folder holds no finished training, or its ``metrics.json`` is damaged.
    """
    folder = RunFolder(root.expanduser().resolve())
    if not folder.root.is_dir():
        raise UserError(f"{root} is not a folder; give the results folder of a run")
    want_run_of("train", folder.root)
    if not folder.metrics.exists():
        if folder.settings.exists():
            raise UserError(
                f"{root} holds a run that is not finished: it has no metrics.json; "
                f"finish it with: swin-umamba train --resume --output {root}"
            )
        raise UserError(f"{root} holds no run: it has neither metrics.json nor settings.json")
    try:
        metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
        _check(metrics)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder.metrics} is damaged: {error}; write it anew with: swin-umamba train --resume --output {root}"
        ) from error
    return RunRecord(folder, metrics)


def _check(metrics: Any) -> None:
    """Raise `ValueError` where the page would come upon something else than it expects."""
    if not isinstance(metrics, dict):
        raise ValueError(f"it must hold one JSON object, got {type(metrics).__name__}")
    for place, wanted in _WANTED.items():
        part = metrics
        for key in place:
            part = part[key]
        for key, kind in wanted.items():
            if not isinstance(part.get(key), kind):
                raise ValueError(f"{'.'.join((*place, key))} is {part.get(key)!r}")
    curves = [metrics["training"][key] for key in _CURVES]
    if len({len(curve) for curve in curves}) > 1 or not curves[0]:
        raise ValueError(f"the curves have {[len(curve) for curve in curves]} epochs")
    for curve in curves:
        _want_numbers("a curve", [value for value in curve if value is not None])
    Settings.from_json(metrics["settings"])
    _want_numbers("seconds.epochs", metrics["seconds"]["epochs"])
    if metrics.get("held_out") is not None:
        _check_held_out(metrics["held_out"])


def _check_held_out(held_out: Any) -> None:
    cases = held_out.get("per_case") if isinstance(held_out, dict) else None
    if not isinstance(cases, dict) or not cases:
        raise ValueError("held_out has no per_case")
    if not isinstance(held_out.get("cases"), int):
        raise ValueError(f"held_out.cases is {held_out.get('cases')!r}")
    classes = None
    for case, scores in cases.items():
        for metric in ("dsc", "nsd"):
            values = scores.get(metric) if isinstance(scores, dict) else None
            if not isinstance(values, dict) or not values:
                raise ValueError(f"the case {case!r} has no {metric}")
            classes = classes or set(values)
            if set(values) != classes:
                raise ValueError(f"the case {case!r} has the classes {sorted(values)}, others have {sorted(classes)}")
            _want_numbers(f"{metric} of {case!r}", values.values())
    for metric in ("dsc", "nsd"):
        _check_statistics(f"held_out.{metric}", held_out.get(metric), classes)


def _check_statistics(what: str, statistics: Any, classes: set[str]) -> None:
    """Mean and standard deviation of a metric, as a whole and of each class."""
    parts = statistics.get("per_class") if isinstance(statistics, dict) else None
    if not isinstance(parts, dict) or set(parts) != classes:
        raise ValueError(f"{what} has no per_class of the classes {sorted(classes)}")
    for part in (statistics, *parts.values()):
        _want_numbers(what, [part.get(key) if isinstance(part, dict) else None for key in ("mean", "std")])


def _want_numbers(what: str, values: Iterable[Any]) -> None:
    for value in values:
        if not isinstance(value, _NUMBER) or isinstance(value, bool):
            raise ValueError(f"{what} holds {value!r}")


def why_no_score(metrics: dict[str, Any], rule: str, run: Path) -> str | None:
    """Why a run has no score of the paper's metric by a rule, or ``None`` where it has one or should have none.

    Parameters
    ----------
    metrics
        The content of ``metrics.json``.
    rule
        A key of `RULES`.
    run
        The results folder.
    """
    if metrics.get(rule) is not None:
        return None
    if reason := (metrics.get("not_evaluated") or {}).get(rule):
        return reason
    if any(metrics.get(other) is not None for other in RULES):
        return f"this run has not computed it; swin-umamba train --resume --output {run} predicts and scores again"
    return None
