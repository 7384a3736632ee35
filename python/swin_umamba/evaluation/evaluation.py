"""Scoring of a folder of predictions against a folder of references."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..common.errors import UserError
from ..common.images.label_files import CasePair, LabelImage, check_same_grid, pair_cases, read_label_image
from ..common.versions import package_versions
from ..paper.metrics import CELL_LABELS
from .dataset_labels import find_dataset_json, with_dataset_labels, with_labels_found
from .held_out import as_nnunet_reads, pair_held_out_cases
from .rules import Rule, find_rule, with_measures
from .scores import CaseScores, Evaluation

MASKS = ("instances", "interior")

Progress = Callable[[Sequence[CasePair]], Iterable[CasePair]]


def _check_labels(pair: CasePair, image: LabelImage, path: Path, rule: Rule) -> None:
    known = dict(rule.labels) if rule.ignore_label is None else {**rule.labels, "ignore": rule.ignore_label}
    allowed = {0}
    for values in known.values():
        allowed.update(values if isinstance(values, tuple) else (values,))
    unknown = sorted(set(np.unique(image.labels).tolist()) - allowed)
    if unknown:
        shown = ", ".join(map(str, unknown[:8])) + (" ..." if len(unknown) > 8 else "")
        raise UserError(
            f"case {pair.name}: {path} holds labels that the data set does not have: {shown}; known are "
            + ", ".join(f"{label} {name}" for name, label in known.items())
        )


def _check_interior(pair: CasePair, image: LabelImage, path: Path, side: str) -> None:
    if image.labels.max() > max(CELL_LABELS.values()):
        raise UserError(
            f"case {pair.name}: {path} holds the label {image.labels.max()}, but interior masks hold "
            f"0, 1 (interior) and 2 (boundary); if it numbers its cells, tell so with --{side}-masks instances"
        )


def _tolerances(
    labels: Iterable[str], tolerance: float | Mapping[str, float] | None, default: float
) -> dict[str, float]:
    given = tolerance if isinstance(tolerance, Mapping) else {}
    unknown = sorted(set(given) - set(labels))
    if unknown:
        raise UserError(f"a tolerance was given for unknown labels: {', '.join(unknown)}; known: {list(labels)}")
    if isinstance(tolerance, (int, float)):
        default = float(tolerance)
    chosen = {name: float(given.get(name, default)) for name in labels}
    for name, value in chosen.items():
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"the tolerance of {name} must be a finite number of at least 0, got {value}")
    return chosen


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
    measures: Sequence[str] | None = None,
    progress: Progress = iter,
) -> Evaluation:
    """Score every prediction of a folder against the reference of the same name.

    Parameters
    ----------
    reference, prediction : path
        Folders of label images (or one file each): NIfTI, NRRD, MetaImage, PNG, TIFF, BMP. For ``cells`` a reference
        may be named ``CASE_label.tiff``.
    metric : str
        The rule, one of `METRICS`: ``abdomen``, ``endoscopy`` and ``cells`` are those of the paper's data sets;
        ``labels`` and ``held-out``, the rule of ``metrics.json``, score the labels of any data set.
    as_published : bool
        Compute what the released scripts compute (see `published_protocols`) instead of what the metric means.
    tolerance : float or mapping, optional
        For ``labels`` and ``held-out``: the NSD's tolerance in mm (pixels of plain images), for all labels or by name;
        default 2 for ``labels``, 1 for ``held-out``.
    dataset_json : path, optional
        For ``labels`` and ``held-out``: where the labels are named. Default: the one beside or above the references,
        else the references' own labels.
    reference_masks : {"instances", "interior"}, optional
        For ``cells``: whether references number the cells (the default) or mark their interiors 1.
    prediction_masks : {"interior", "instances"}
        The same of the predictions.
    check_position : bool
        Also refuse volumes whose voxels lie elsewhere than the reference's.
    measures : sequence of str, optional
        Which scores to compute, of `swin_umamba.evaluation.measure_names.MEASURES`; default DSC and NSD. ``cells`` has
        F1 alone.
    progress : callable
        Wraps the list of cases while they are scored.

    Returns
    -------
    Evaluation
        Scores of every case.

    Raises
    ------
    UserError
        A prediction is missing, a file cannot be read or holds no labels, the grids differ, there are labels that the
        data set does not have, or an option does not fit the metric.
    """
    reference, prediction = Path(reference), Path(prediction)
    rule = find_rule(metric, as_published)
    if measures is not None:
        rule = with_measures(rule, measures)
    if rule.labels and (tolerance is not None or dataset_json is not None):
        raise UserError(f"the metric {metric} has its own labels and tolerances; use --metric labels for others")
    if rule.masks is None and (reference_masks is not None or prediction_masks != "interior"):
        raise UserError(f"kinds of masks are told for --metric cells alone, not for {metric}")
    for masks in (reference_masks or "instances", prediction_masks):
        if masks not in MASKS:
            raise UserError(f"masks are one of {', '.join(MASKS)}, got {masks!r}")

    if rule.as_in_a_run:
        pairs, without_reference = pair_held_out_cases(reference, prediction)
    else:
        pairs, without_reference = pair_cases(reference, prediction, rule.reference_suffix)
    if rule.masks is not None:
        kinds = (reference_masks or "instances", prediction_masks)
        rule = replace(
            rule, masks=kinds, settings=dict(zip(("reference_masks", "prediction_masks"), kinds, strict=True))
        )
    if not rule.labels:
        path = Path(dataset_json) if dataset_json else find_dataset_json(reference)
        references = (pair.reference for pair in pairs)
        rule = with_dataset_labels(rule, path) if path else with_labels_found(rule, references)
        tolerances = _tolerances(rule.labels, tolerance, rule.default_tolerance)
        labels_of = str(path) if path else None
        rule = replace(rule, tolerances=tolerances, settings={"tolerance": tolerances, "dataset_json": labels_of})

    cases: dict[str, CaseScores] = {}
    largest_reference = 0
    for pair in progress(pairs):
        r, p = read_label_image(pair.reference), read_label_image(pair.prediction)
        check_same_grid(pair, r, p, check_position=check_position)
        if r.labels.ndim not in rule.dimensions:
            raise UserError(
                f"case {pair.name}: {metric} is scored in {rule.dimensions[0]}-D, {pair.reference} is {r.labels.shape}"
            )
        if rule.masks is None:
            _check_labels(pair, r, pair.reference, rule)
            _check_labels(pair, p, pair.prediction, rule)
        else:
            largest_reference = max(largest_reference, int(r.labels.max()))
            if reference_masks == "interior":
                _check_interior(pair, r, pair.reference, "reference")
            if prediction_masks == "interior":
                _check_interior(pair, p, pair.prediction, "prediction")
        if rule.as_in_a_run:
            r, p = (as_nnunet_reads(image, pair.reference, rule.reoriented) for image in (r, p))
        try:
            cases[pair.name] = rule.score(r, p)
        except UserError as error:
            raise UserError(f"case {pair.name}: {error}") from error
    if rule.masks is not None and reference_masks is None and 0 < largest_reference <= max(CELL_LABELS.values()):
        raise UserError(
            f"no reference in {reference} holds a label above {max(CELL_LABELS.values())}, so they look like "
            f"interior (1) and boundary (2), not like numbered cells; tell which with --reference-masks "
            f"interior or instances"
        )
    settings = {
        "as_published": as_published,
        **rule.settings,
        "versions": package_versions("swin-umamba", "surface-distance", "scikit-image", "scipy", "numpy"),
    }
    return Evaluation(rule, cases, settings, without_reference)
