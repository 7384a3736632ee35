"""The metrics as they are meant: one function for each rule, scoring one case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..common.images.label_files import LabelImage
from ..paper.metrics import CELL_LABELS, MATCHING_IOU, ORGANS_SCORED_WHERE_LABELLED
from .cell_matching import MatchCounts, label_components, match_cells, remove_border_cells
from .measure_names import FURTHER
from .measures import MaskPair, best_score, score_pair
from .scores import CaseScores

if TYPE_CHECKING:
    from .rules import Rule

Masks = tuple[str, np.ndarray, np.ndarray]
"""A class, and where reference and prediction have it."""


def mean_over_classes(per_class: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return each metric's mean over the classes that count, NaN where none does."""
    means = {}
    for key, scores in per_class.items():
        counting = [score for score in scores.values() if not np.isnan(score)]
        means[key] = float(np.mean(counting)) if counting else float("nan")
    return means


def score_masks(masks: Iterable[Masks], spacing: Sequence[float], rule: Rule) -> CaseScores:
    """The rule's measures of each class, with its tolerances.

    A class that neither mask has scores what is best where ``rule.absent`` is 1, and NaN where it does not count. Masks
    without a pixel are not scored: NaN. Objects that only one mask has are counted where there are further measures.
    """
    per_class: dict[str, dict[str, float]] = {key: {} for key in rule.keys}
    absent: list[str] = []
    missed: list[str] = []
    invented: list[str] = []
    for name, r, p in masks:
        pair = MaskPair(r, p, spacing, rule.tolerances[name])
        counts = r.size > 0 and not (pair.is_absent and np.isnan(rule.absent))
        for key in rule.keys:
            per_class[key][name] = score_pair(key, pair) if counts else float("nan")
        for names, is_so in (
            (absent, r.size and pair.is_absent),
            (missed, pair.is_missed),
            (invented, pair.is_invented),
        ):
            if is_so:
                names.append(name)
    numbers = {"missed": len(missed), "invented": len(invented)} if set(rule.keys) & set(FURTHER) else {}
    return CaseScores(mean_over_classes(per_class), per_class, tuple(absent), numbers, tuple(missed), tuple(invented))


def organ_masks(reference: LabelImage, prediction: LabelImage, rule: Rule, left_out: int = 0) -> Iterator[Masks]:
    """Yield each organ; of those in `ORGANS_SCORED_WHERE_LABELLED` the slices where it may be scored.

    These are the slices (last axis) between the reference's first and last labelled one, without the last ``left_out``.
    """
    for organ, label in rule.labels.items():
        r, p = reference.labels == label, prediction.labels == label
        if organ in ORGANS_SCORED_WHERE_LABELLED and r.any():
            occupied = np.flatnonzero(r.any(axis=(0, 1)))
            labelled = slice(int(occupied[0]), int(occupied[-1]) + 1 - left_out)
            r, p = r[..., labelled], p[..., labelled]
        yield organ, r, p


def score_abdomen(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """DSC and NSD of each organ in 3-D, with the image's spacing.

    Aorta, vena cava and esophagus are scored on the slices (last axis) between the reference's first and last labelled
    one, both included.
    """
    return score_masks(organ_masks(reference, prediction, rule), reference.spacing, rule)


def score_endoscopy(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """DSC and NSD of the instruments of one image, the NSD on 2-D contours in pixels.

    The image's score is the mean over the instruments in reference or prediction, and 1 where neither has any.
    """
    masks = ((name, reference.labels == label, prediction.labels == label) for name, label in rule.labels.items())
    scores = score_masks(masks, reference.spacing, rule)
    if len(scores.absent) < len(rule.labels):
        return scores
    return replace(scores, case_means={key: best_score(key) for key in rule.keys})


def cell_case_scores(
    counts: MatchCounts, f1: float, reference_cells: int, predicted_cells: int, rule: Rule
) -> CaseScores:
    """Put a matching of cells into the form that all cases share; without any cell the score is ``rule.absent``."""
    absent = not reference_cells and not predicted_cells
    f1 = rule.absent if absent else f1
    return CaseScores(
        {"f1": f1},
        {"f1": {"cell": f1}},
        ("cell",) if absent else (),
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


def score_cells(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """F1 of the cells of one image, matched one to one at an intersection over union of at least 0.5.

    Cells that touch the outer 2 pixels are not scored.
    """
    assert rule.masks is not None
    r, p = (
        remove_border_cells(cell_instances(image.labels, masks))
        for image, masks in zip((reference, prediction), rule.masks, strict=True)
    )
    counts = match_cells(r, p, MATCHING_IOU)
    return cell_case_scores(
        counts,
        counts.f1,
        counts.true_positives + counts.false_negatives,
        counts.true_positives + counts.false_positives,
        rule,
    )


def score_labels(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """DSC and NSD of each label of any data set.

    Pixels that the reference gives the rule's ignore label are left out, as background, of both. An axis of length 1
    is dropped, so that a slice is scored on its contour.
    """
    axes = range(reference.labels.ndim)
    kept = [axis for axis in axes if reference.labels.shape[axis] > 1]
    # Two axes stay even of an image of 1 × N pixels.
    kept = sorted(kept + [axis for axis in axes if axis not in kept][: max(0, 2 - len(kept))])
    return _score_labels(reference, prediction, rule, kept)


def score_held_out(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """`score_labels` of images as nnU-Net reads them, slices first: a stack of one slice is scored on its contour."""
    axes = range(reference.labels.ndim)
    one_slice = len(axes) == 3 and reference.labels.shape[0] == 1
    return _score_labels(reference, prediction, rule, axes[1:] if one_slice else axes)


def _score_labels(reference: LabelImage, prediction: LabelImage, rule: Rule, kept: Sequence[int]) -> CaseScores:
    shape = tuple(reference.labels.shape[axis] for axis in kept)
    scored = True if rule.ignore_label is None else (reference.labels != rule.ignore_label).reshape(shape)

    def masks() -> Iterator[Masks]:
        for name, values in rule.labels.items():
            r, p = (np.isin(image.labels, values).reshape(shape) & scored for image in (reference, prediction))
            yield name, r, p

    return score_masks(masks(), tuple(reference.spacing[axis] for axis in kept), rule)
