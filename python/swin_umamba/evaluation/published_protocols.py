"""The metrics exactly as the released evaluation scripts of Swin-UMamba and U-Mamba compute them.

Each function scores one case; the comments name where the result departs from what the metric means. The scripts are
``evaluation/abdomen_{DSC,NSD}_Eval.py``, ``endoscopy_{DSC,NSD}_Eval.py`` and ``compute_cell_metric.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..common.errors import UserError
from ..common.images.label_files import LabelImage
from ..paper.metrics import MATCHING_IOU
from .cell_matching import MatchCounts, match_cells
from .protocols import cell_case_scores, cell_instances, mean_over_classes, organ_masks, score_masks
from .scores import CaseScores

if TYPE_CHECKING:
    from .rules import Rule

DIGITS = 4
TILED_FROM_PIXELS = 25_000_000
TILE_SIZE = 2000


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: float(np.round(value, DIGITS)) for name, value in scores.items()}


def score_abdomen(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """DSC and NSD of each organ, rounded to 4 digits."""
    # z_lower:z_upper of the scripts leaves the last labelled slice out; of one slice nothing is left.
    exact = score_masks(organ_masks(reference, prediction, rule, left_out=1), reference.spacing, rule)
    per_class = {key: _rounded(scores) for key, scores in exact.per_class.items()}
    return replace(exact, case_means=mean_over_classes(per_class), per_class=per_class)


def score_endoscopy(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """DSC and NSD of one image, each the rounded mean over the labels found.

    Raises
    ------
    UserError
        Neither image has a label left; the scripts stop there.
    """
    # The lowest value is dropped as the background also where the image has no background.
    labels = np.union1d(np.unique(reference.labels)[1:], np.unique(prediction.labels)[1:])
    if labels.size == 0:
        raise UserError(
            "neither reference nor prediction holds an instrument, where the released scripts stop with an error; "
            "leave the image out, or evaluate without --as-published"
        )
    names = {label: name for name, label in rule.labels.items()}
    # A third axis of length 1 makes the 2-D mask a slab, whose two faces count as surface.
    r, p = reference.labels[..., None], prediction.labels[..., None]
    scores = score_masks(((names[label], r == label, p == label) for label in labels.tolist()), (1.0, 1.0, 1.0), rule)
    return replace(scores, case_means=_rounded(scores.case_means))


def _without_border_cells(instances: np.ndarray) -> np.ndarray:
    frame = np.ones(instances.shape, dtype=instances.dtype)
    frame[2 : instances.shape[0] - 2, 2 : instances.shape[1] - 2] = 0
    # The lowest value, meant to be the background, stays: in images of up to 4 pixels it can be a cell.
    return np.where(np.isin(instances, np.unique(instances * frame)[1:]), 0, instances)


def _count(instances: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(instances)))


def score_cells(reference: LabelImage, prediction: LabelImage, rule: Rule) -> CaseScores:
    """F1 of the cells of one image, rounded to 4 digits; images of 25 megapixels and more in tiles."""
    assert rule.masks is not None
    r = cell_instances(reference.labels, rule.masks[0])
    p = cell_instances(prediction.labels, rule.masks[1])
    tiles = [(slice(None), slice(None))]
    if r.size >= TILED_FROM_PIXELS:
        # Zeros up to whole tiles: a cell cut by the image's own right or lower border then counts as inside.
        padding = [(0, -size % TILE_SIZE) for size in r.shape]
        # Component numbers take the reference's integer type, and wrap around where it is too small.
        p = np.pad(p.astype(r.dtype), padding)
        r = np.pad(r, padding)
        starts = [range(0, size, TILE_SIZE) for size in r.shape]
        tiles = [(slice(y, y + TILE_SIZE), slice(x, x + TILE_SIZE)) for y in starts[0] for x in starts[1]]
    reference_cells = predicted_cells = found = vain = missed = 0
    for tile in tiles:
        r_tile, p_tile = _without_border_cells(r[tile]), _without_border_cells(p[tile])
        reference_cells += _count(r_tile)
        predicted_cells += _count(p_tile)
        # Without predictions the scripts count no cell as missed; the F1 does not depend on it.
        counts = match_cells(r_tile, p_tile, MATCHING_IOU) if p_tile.any() else MatchCounts(0, 0, 0)
        found += counts.true_positives
        vain += counts.false_positives
        missed += counts.false_negatives
    f1 = 0.0
    if found:
        precision, recall = found / predicted_cells, found / reference_cells
        f1 = float(np.round(2 * (precision * recall) / (precision + recall), DIGITS))
    return cell_case_scores(MatchCounts(found, vain, missed), f1, reference_cells, predicted_cells, rule)
