"""Scoring of a folder of predictions against a folder of references."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from ..common.files import replace_atomically, write_json
from ..common.images.errors import EvaluationError
from ..common.images.label_files import CasePair, LabelImage, check_same_grid, pair_cases, read_label_image
from ..paper.metrics import CELL_LABELS, INSTRUMENT_TOLERANCE, INSTRUMENTS, ORGAN_TOLERANCES, ORGANS
from . import protocols, published_protocols
from .case_scores import CaseScores
from .dataset_labels import DatasetLabels, find_dataset_json, read_dataset_labels

METRICS = ("abdomen", "endoscopy", "cells", "labels")
DEFAULT_TOLERANCE = 2.0
MASKS = ("instances", "interior")

Progress = Callable[[Sequence[CasePair]], Iterable[CasePair]]


@dataclass(frozen=True)
class Evaluation:
    """The scores of all cases, and how they were made.

    Attributes
    ----------
    metric : str
        One of `METRICS`.
    keys : tuple of str
        The scores: ``("dsc", "nsd")`` or ``("f1",)``.
    classes : tuple of str
        Names of the classes, in the order of their labels.
    cases : dict
        From case name to its `CaseScores`.
    mean_of_class_means : bool
        Whether the score is the mean over classes of their means over cases; else it is the mean over cases.
    settings : dict
        What the numbers depend on.
    without_reference : list of str
        Cases that were predicted but not scored, for want of a reference.
    """

    metric: str
    keys: tuple[str, ...]
    classes: tuple[str, ...]
    cases: dict[str, CaseScores]
    mean_of_class_means: bool
    settings: dict[str, object]
    without_reference: list[str] = field(default_factory=list)

    def class_scores(self, key: str, name: str) -> np.ndarray:
        """Return the scores of one class over the cases in which it counts."""
        scores = np.array([case.per_class[key].get(name, math.nan) for case in self.cases.values()])
        return scores[~np.isnan(scores)]

    def summary(self) -> dict[str, object]:
        """Return means and standard deviations, in the form of ``summary.json``.

        ``std`` is the standard deviation (divided by n) over cases: of the cases' own scores, and for each class of
        its scores. A value that does not exist, such as the mean of a class that no case has, is None.
        """
        summary: dict[str, object] = {"metric": self.metric, "n_cases": len(self.cases)}
        for key in self.keys:
            per_class = {name: _statistics(self.class_scores(key, name)) for name in self.classes}
            case_means = np.array([case.case_means[key] for case in self.cases.values()])
            overall = _statistics(case_means[~np.isnan(case_means)])
            if self.mean_of_class_means:
                means = [entry["mean"] for entry in per_class.values() if entry["mean"] is not None]
                overall["mean"] = float(np.mean(means)) if means else None
            summary[key] = {**overall, "per_class": per_class}
        counts = [case.counts for case in self.cases.values()]
        if counts[0]:
            summary["counts"] = {name: sum(case[name] for case in counts) for name in counts[0]}
        summary["settings"] = self.settings
        summary["not_scored_without_reference"] = self.without_reference
        return summary

    def write(self, folder: Path) -> None:
        """Write ``cases.csv`` (one line a case, empty where a score does not count) and ``summary.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        columns = [(key, name) for key in self.keys for name in self.classes if self.classes != ("cell",)]
        counts = list(next(iter(self.cases.values())).counts)
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["case", *self.keys, *counts, *(f"{key} {name}" for key, name in columns)])
        for case, scores in self.cases.items():
            values = [scores.case_means[key] for key in self.keys]
            values += [scores.counts[name] for name in counts]
            values += [scores.per_class[key].get(name, math.nan) for key, name in columns]
            writer.writerow([case, *("" if isinstance(v, float) and math.isnan(v) else v for v in values)])
        with replace_atomically(folder / "cases.csv") as file:
            file.write(table.getvalue().encode())
        write_json(folder / "summary.json", self.summary())


def _statistics(scores: np.ndarray) -> dict[str, float | int | None]:
    if scores.size == 0:
        return {"mean": None, "std": None, "n": 0}
    return {"mean": float(np.mean(scores)), "std": float(np.std(scores)), "n": int(scores.size)}


def _versions() -> dict[str, str]:
    found = {}
    for package in ("swin-umamba-ext", "surface-distance", "scikit-image", "scipy", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def _check_labels(pair: CasePair, image: LabelImage, path: Path, known: Mapping[str, int | tuple[int, ...]]) -> None:
    allowed = {0}
    for values in known.values():
        allowed.update(values if isinstance(values, tuple) else (values,))
    unknown = sorted(set(np.unique(image.labels).tolist()) - allowed)
    if unknown:
        shown = ", ".join(map(str, unknown[:8])) + (" ..." if len(unknown) > 8 else "")
        raise EvaluationError(
            f"case {pair.name}: {path} holds labels that the data set does not have: {shown}; known are "
            + ", ".join(f"{label} {name}" for name, label in known.items())
        )


def _tolerances(
    labels: Iterable[str], tolerance: float | Mapping[str, float] | None, default: float = DEFAULT_TOLERANCE
) -> dict[str, float]:
    given = tolerance if isinstance(tolerance, Mapping) else {}
    unknown = sorted(set(given) - set(labels))
    if unknown:
        raise EvaluationError(f"a tolerance was given for unknown labels: {', '.join(unknown)}; known: {list(labels)}")
    if isinstance(tolerance, (int, float)):
        default = float(tolerance)
    chosen = {name: float(given.get(name, default)) for name in labels}
    for name, value in chosen.items():
        if not (math.isfinite(value) and value >= 0):
            raise EvaluationError(f"the tolerance of {name} must be a finite number of at least 0, got {value}")
    return chosen


def _labels_found(pairs: Sequence[CasePair]) -> DatasetLabels:
    found: set[int] = set()
    for pair in pairs:
        found.update(np.unique(read_label_image(pair.reference).labels).tolist())
        if len(found) > 256:
            raise EvaluationError(
                f"the references hold more than 256 labels ({pair.reference} among them), as instance masks do; "
                f"score instances with --metric cells"
            )
    found.discard(0)
    if not found:
        raise EvaluationError("no reference holds a label beside 0; there is nothing to score")
    return DatasetLabels({f"label {label}": label for label in sorted(found)})


def evaluate_folders(
    reference: str | Path,
    prediction: str | Path,
    metric: str,
    *,
    as_published: bool = False,
    tolerance: float | Mapping[str, float] | None = None,
    dataset_json: str | Path | None = None,
    reference_masks: str | None = None,
    prediction_masks: str = "interior",
    check_position: bool = True,
    progress: Progress = iter,
) -> Evaluation:
    """Score every prediction of a folder against the reference of the same name.

    Parameters
    ----------
    reference, prediction : path
        Folders of label images (or one file each): NIfTI, NRRD, MetaImage, PNG, TIFF, BMP. For ``cells`` a reference
        may be named ``CASE_label.tiff``.
    metric : {"abdomen", "endoscopy", "cells", "labels"}
        The paper's three data sets, or the labels of any data set.
    as_published : bool
        Compute what the released scripts compute (see `published_protocols`) instead of what the metric means.
    tolerance : float or mapping, optional
        For ``labels``: the NSD's tolerance in mm (pixels of plain images), for all labels or by name; default 2.
    dataset_json : path, optional
        For ``labels``: where the labels are named. Default: the one beside or above the references, else the
        references' own labels.
    reference_masks : {"instances", "interior"}, optional
        For ``cells``: whether references number the cells (the default) or mark their interiors 1.
    prediction_masks : {"interior", "instances"}
        The same of the predictions.
    check_position : bool
        Also refuse volumes whose voxels lie elsewhere than the reference's.
    progress : callable
        Wraps the list of cases while they are scored.

    Returns
    -------
    Evaluation
        Scores of every case.

    Raises
    ------
    EvaluationError
        A prediction is missing, a file cannot be read or holds no labels, the grids differ, there are labels that the
        data set does not have, or an option does not fit the metric.
    """
    reference, prediction = Path(reference), Path(prediction)
    if metric not in METRICS:
        raise EvaluationError(f"the metric is one of {', '.join(METRICS)}, got {metric!r}")
    if metric == "labels" and as_published:
        raise EvaluationError("there is no published script for the metric labels; leave --as-published out")
    if metric != "labels" and (tolerance is not None or dataset_json is not None):
        raise EvaluationError(f"the metric {metric} has its own labels and tolerances; use --metric labels for others")
    if metric != "cells" and (reference_masks is not None or prediction_masks != "interior"):
        raise EvaluationError(f"kinds of masks are told for --metric cells alone, not for {metric}")
    for masks in (reference_masks or "instances", prediction_masks):
        if masks not in MASKS:
            raise EvaluationError(f"masks are one of {', '.join(MASKS)}, got {masks!r}")

    pairs, without_reference = pair_cases(reference, prediction, "_label" if metric == "cells" else "")
    rules = published_protocols if as_published else protocols
    settings: dict[str, object] = {"as_published": as_published}
    known: Mapping[str, int | tuple[int, ...]]
    keys: tuple[str, ...] = ("dsc", "nsd")
    if metric == "abdomen":
        known, score = ORGANS, rules.score_abdomen
        settings["tolerance_mm"] = ORGAN_TOLERANCES
    elif metric == "endoscopy":
        known, score = INSTRUMENTS, rules.score_endoscopy
        settings["tolerance_pixels"] = INSTRUMENT_TOLERANCE
    elif metric == "cells":
        known, keys = {"cell": 1}, ("f1",)
        masks = {"reference_masks": reference_masks or "instances", "prediction_masks": prediction_masks}
        score = partial(rules.score_cells, **masks)
        settings |= masks
    else:
        path = Path(dataset_json) if dataset_json else find_dataset_json(reference)
        dataset = read_dataset_labels(path) if path else _labels_found(pairs)
        known = dataset.labels
        tolerances = _tolerances(known, tolerance)
        score = partial(protocols.score_labels, labels=known, tolerances=tolerances, ignore_label=dataset.ignore_label)
        settings |= {"tolerance": tolerances, "dataset_json": str(path) if path else None}
        if dataset.ignore_label is not None:
            known = {**known, "ignore": dataset.ignore_label}

    cases: dict[str, CaseScores] = {}
    largest_reference = 0
    for pair in progress(pairs):
        r, p = read_label_image(pair.reference), read_label_image(pair.prediction)
        check_same_grid(pair, r, p, check_position=check_position)
        if metric == "abdomen" and r.labels.ndim != 3:
            raise EvaluationError(f"case {pair.name}: abdomen is scored in 3-D, {pair.reference} is {r.labels.shape}")
        if metric in ("endoscopy", "cells") and r.labels.ndim != 2:
            raise EvaluationError(f"case {pair.name}: {metric} is scored in 2-D, {pair.reference} is {r.labels.shape}")
        if metric == "cells":
            largest_reference = max(largest_reference, int(r.labels.max()))
            for path, image, masks in (
                (pair.reference, r, reference_masks),
                (pair.prediction, p, prediction_masks),
            ):
                if masks == "interior" and image.labels.max() > max(CELL_LABELS.values()):
                    raise EvaluationError(
                        f"case {pair.name}: {path} holds the label {image.labels.max()}, but interior masks hold "
                        f"0, 1 (interior) and 2 (boundary); if it numbers its cells, tell so with "
                        f"--{'prediction' if image is p else 'reference'}-masks instances"
                    )
        else:
            _check_labels(pair, r, pair.reference, known)
            _check_labels(pair, p, pair.prediction, known)
        try:
            cases[pair.name] = score(r, p)
        except EvaluationError as error:
            raise EvaluationError(f"case {pair.name}: {error}") from error
    if metric == "cells" and reference_masks is None and 0 < largest_reference <= max(CELL_LABELS.values()):
        raise EvaluationError(
            f"no reference in {reference} holds a label above {max(CELL_LABELS.values())}, so they look like "
            f"interior (1) and boundary (2), not like numbered cells; tell which with --reference-masks "
            f"interior or instances"
        )
    settings["versions"] = _versions()
    classes = tuple(name for name in known if name != "ignore")
    return Evaluation(metric, keys, classes, cases, metric in ("abdomen", "labels"), settings, without_reference)
