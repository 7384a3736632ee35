"""The metrics as they are meant: one function for each data set, scoring one case."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..common.images.label_files import LabelImage
from ..paper.metrics import (
    CELL_LABELS,
    INSTRUMENT_TOLERANCE,
    INSTRUMENTS,
    MATCHING_IOU,
    ORGAN_TOLERANCES,
    ORGANS,
    ORGANS_SCORED_WHERE_LABELLED,
)
from .case_scores import CaseScores
from .cell_matching import MatchCounts, label_components, match_cells, remove_border_cells
from .metrics import dice_coefficient, normalized_surface_distance


def bounding_slices(mask: np.ndarray) -> slice:
    """Return the range of indices of the last axis that holds all of a mask that is not empty."""
    occupied = np.flatnonzero(mask.any(axis=tuple(range(mask.ndim - 1))))
    return slice(int(occupied[0]), int(occupied[-1]) + 1)


def mean_over_classes(per_class: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return each metric's mean over the classes that count, NaN where none does."""
    means = {}
    for key, scores in per_class.items():
        counting = [score for score in scores.values() if not np.isnan(score)]
        means[key] = float(np.mean(counting)) if counting else float("nan")
    return means


def score_abdomen(reference: LabelImage, prediction: LabelImage) -> CaseScores:
    """DSC and NSD of each organ in 3-D, with the image's spacing.

    An organ absent from both counts 1, an organ in only one of them 0. Aorta, vena cava and esophagus are scored on
    the slices (last axis) between the reference's first and last labelled one, both included.
    """
    dsc, nsd = {}, {}
    for organ, label in ORGANS.items():
        r, p = reference.labels == label, prediction.labels == label
        if organ in ORGANS_SCORED_WHERE_LABELLED and r.any():
            labelled = bounding_slices(r)
            r, p = r[..., labelled], p[..., labelled]
        dsc[organ] = dice_coefficient(r, p)
        nsd[organ] = normalized_surface_distance(r, p, reference.spacing, ORGAN_TOLERANCES[organ])
    per_class = {"dsc": dsc, "nsd": nsd}
    return CaseScores(mean_over_classes(per_class), per_class)


def score_endoscopy(reference: LabelImage, prediction: LabelImage) -> CaseScores:
    """DSC and NSD of the instruments of one image, the NSD on 2-D contours with a tolerance of 2 pixels.

    The image's score is the mean over the instruments in reference or prediction, and 1 where neither has any.
    """
    dsc, nsd = {}, {}
    for instrument, label in INSTRUMENTS.items():
        r, p = reference.labels == label, prediction.labels == label
        if r.any() or p.any():
            dsc[instrument] = dice_coefficient(r, p)
            nsd[instrument] = normalized_surface_distance(r, p, reference.spacing, INSTRUMENT_TOLERANCE)
    per_class = {"dsc": dsc, "nsd": nsd}
    return CaseScores(mean_over_classes(per_class) if dsc else {"dsc": 1.0, "nsd": 1.0}, per_class)


def cell_case_scores(counts: MatchCounts, f1: float, reference_cells: int, predicted_cells: int) -> CaseScores:
    """Put a matching of cells into the form that all cases share."""
    return CaseScores(
        {"f1": f1},
        {"f1": {"cell": f1}},
        {
            "reference_cells": reference_cells,
            "predicted_cells": predicted_cells,
            "true_positives": counts.true_positives,
            "false_positives": counts.false_positives,
            "false_negatives": counts.false_negatives,
        },
    )


def cell_instances(labels: np.ndarray, masks: str) -> np.ndarray:
    """Return instances, as they are (``masks="instances"``) or as components of the ``"interior"`` label."""
    return labels if masks == "instances" else label_components(labels == CELL_LABELS["interior"])


def score_cells(
    reference: LabelImage,
    prediction: LabelImage,
    reference_masks: str = "instances",
    prediction_masks: str = "interior",
) -> CaseScores:
    """F1 of the cells of one image, matched one to one at an intersection over union of at least 0.5.

    Cells that touch the outer 2 pixels are not scored. An image without cells in reference and prediction counts 1.

    Parameters
    ----------
    reference, prediction : LabelImage
        2-D images.
    reference_masks, prediction_masks : {"instances", "interior"}
        Whether the image numbers its cells, or marks their interiors 1, so that its connected components are cells.
    """
    r = remove_border_cells(cell_instances(reference.labels, reference_masks))
    p = remove_border_cells(cell_instances(prediction.labels, prediction_masks))
    counts = match_cells(r, p, MATCHING_IOU)
    return cell_case_scores(
        counts,
        counts.f1,
        counts.true_positives + counts.false_negatives,
        counts.true_positives + counts.false_positives,
    )


def score_labels(
    reference: LabelImage,
    prediction: LabelImage,
    labels: Mapping[str, int | tuple[int, ...]],
    tolerances: Mapping[str, float],
    ignore_label: int | None = None,
) -> CaseScores:
    """DSC and NSD of each label of any data set.

    A label absent from both does not count in the case (as in nnU-Net's own summary); in only one of them it counts
    0. An axis of length 1 is dropped, so that a slice is scored on its contour.

    Parameters
    ----------
    reference, prediction : LabelImage
        2-D or 3-D.
    labels : mapping
        From name to label, or to the labels of a region.
    tolerances : mapping
        From name to the NSD's tolerance, in the unit of the spacing.
    ignore_label : int, optional
        Label of the reference whose pixels are left out, as background, of both.
    """
    kept = [axis for axis, size in enumerate(reference.labels.shape) if size > 1]
    # Two axes stay even of an image of 1 × N pixels.
    kept = sorted(kept + [axis for axis in range(reference.labels.ndim) if axis not in kept][: max(0, 2 - len(kept))])
    shape = tuple(reference.labels.shape[axis] for axis in kept)
    spacing = tuple(reference.spacing[axis] for axis in kept)
    scored = None if ignore_label is None else (reference.labels != ignore_label).reshape(shape)
    dsc, nsd = {}, {}
    for name, values in labels.items():
        r, p = (np.isin(image.labels, values).reshape(shape) for image in (reference, prediction))
        if scored is not None:
            r, p = r & scored, p & scored
        absent = not r.any() and not p.any()
        dsc[name] = float("nan") if absent else dice_coefficient(r, p)
        nsd[name] = float("nan") if absent else normalized_surface_distance(r, p, spacing, tolerances[name])
    per_class = {"dsc": dsc, "nsd": nsd}
    return CaseScores(mean_over_classes(per_class), per_class)
