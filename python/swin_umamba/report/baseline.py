"""The first system of the comparison that a run belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..common.typed_json import from_json, load_json
from ..runs.record import FinishedRun


@dataclass(frozen=True)
class BaselineScore:
    """Over the cases of all its runs."""

    mean: float
    std: float


@dataclass(frozen=True)
class Baseline:
    """Title and scores, by key of the metric."""

    title: str
    scores: dict[str, BaselineScore]


def find_baseline(run: FinishedRun) -> Baseline | None:
    """Look for a comparison in the folders that hold the run.

    ``None`` where there is none, where it was made before the run was finished, where the run is of the first system
    itself, and where the systems are compared by other scores than a run has of its held-out cases.
    """
    root = run.folder.root
    for above in list(root.parents)[:2]:
        try:
            content = load_json(above / "comparison.json")
        except (OSError, ValueError):
            continue
        try:
            return _read(content, root.relative_to(above).as_posix())
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return None
    return None


def _read(content: Mapping[str, Any], run: str) -> Baseline | None:
    first, *others = content["systems"]
    if content["scores_from"] != "held_out" or not any(run in row.get("runs", ()) for row in others):
        return None
    known = {key: {"mean": score["mean"], "std": score["std"]} for key, score in first["scores"].items()}
    baseline: Baseline = from_json(Baseline, {"title": first["title"], "scores": known})
    return baseline
