"""What each measure of `MEASURES` computes for two masks, empty ones included.

Two empty masks agree, and score what is best. Where one of them alone is empty, an object was missed or invented, which
costs: a share is 0, the volume error 1, and a distance the diagonal of the image, as much as any of these can be but
for the volume error, which a prediction of more than twice the volume exceeds. So missing an object never improves a
mean, as it does where such cases drop out of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import surface_distance
from scipy import ndimage

from .measure_names import ERRORS
from .metrics import dice_coefficient, normalized_surface_distance

PERCENTILE = 95
_ROUNDING = 1e-9
"""By how much, as a share of the whole surface, a sum of surface elements may miss the percentile."""


@dataclass(frozen=True)
class MaskPair:
    """Two masks of one shape, of at least a pixel.

    Attributes
    ----------
    reference, prediction : numpy.ndarray
        Of dtype bool, (H, W) or (D, H, W).
    spacing : sequence of float
        Pixel size along each axis, in array order.
    tolerance : float
        Of the NSD, in the unit of ``spacing``.
    """

    reference: np.ndarray
    prediction: np.ndarray
    spacing: Sequence[float]
    tolerance: float

    @cached_property
    def is_missed(self) -> bool:
        """Whether the reference alone has the object."""
        return bool(self.reference.any() and not self.prediction.any())

    @cached_property
    def is_invented(self) -> bool:
        """Whether the prediction alone has it."""
        return bool(self.prediction.any() and not self.reference.any())

    @cached_property
    def is_absent(self) -> bool:
        """Whether neither has it."""
        return not self.reference.any() and not self.prediction.any()

    @property
    def diagonal(self) -> float:
        """Length of the image's diagonal, in the unit of ``spacing``."""
        return math.dist(
            [0.0] * len(self.spacing), [n * s for n, s in zip(self.reference.shape, self.spacing, strict=True)]
        )

    @cached_property
    def surface_distances(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Distance to the other surface, and area, of each element of the reference's and of the prediction's surface.

        In the order of the distances. The elements are those of the NSD: in 2-D pieces of the contour.
        """
        found = surface_distance.compute_surface_distances(self.reference, self.prediction, self.spacing)
        return (
            (found["distances_gt_to_pred"], found["surfel_areas_gt"]),
            (found["distances_pred_to_gt"], found["surfel_areas_pred"]),
        )

    @cached_property
    def overlap(self) -> int:
        """Pixels that both have."""
        return int(np.count_nonzero(self.reference & self.prediction))


def _dsc(pair: MaskPair) -> float:
    return dice_coefficient(pair.reference, pair.prediction)


def _nsd(pair: MaskPair) -> float:
    return normalized_surface_distance(pair.reference, pair.prediction, pair.spacing, pair.tolerance)


def _hd95(pair: MaskPair) -> float:
    """95th percentile of the Hausdorff distance: the larger one of both surfaces.

    Of a surface it is the least distance within which 95 % of its area lie from the other surface.
    """
    if pair.is_missed or pair.is_invented:
        return pair.diagonal
    percentiles = []
    for distances, areas in pair.surface_distances:
        reached = np.cumsum(areas) >= (PERCENTILE / 100 - _ROUNDING) * areas.sum()
        percentiles.append(float(distances[np.argmax(reached)]))
    return max(percentiles)


def _assd(pair: MaskPair) -> float:
    """Average symmetric surface distance: mean distance to the other surface, over the area of both surfaces."""
    if pair.is_missed or pair.is_invented:
        return pair.diagonal
    total = sum(float((distances * areas).sum()) for distances, areas in pair.surface_distances)
    return total / sum(float(areas.sum()) for _, areas in pair.surface_distances)


def _rve(pair: MaskPair) -> float:
    """Relative volume error: ``| |P| - |R| | / |R|``; of an invented object, where that is infinite, 1."""
    if pair.is_invented:
        return 1.0
    reference = int(np.count_nonzero(pair.reference))
    return abs(int(np.count_nonzero(pair.prediction)) - reference) / reference


def _precision(pair: MaskPair) -> float:
    """``|R ∩ P| / |P|``; of a missed object, where that is nothing, 0."""
    return 0.0 if pair.is_missed else pair.overlap / int(np.count_nonzero(pair.prediction))


def _recall(pair: MaskPair) -> float:
    """``|R ∩ P| / |R|``; of an invented object, where that is nothing, 0."""
    return 0.0 if pair.is_invented else pair.overlap / int(np.count_nonzero(pair.reference))


def _lesion_f1(pair: MaskPair) -> float:
    """``2 TP / (2 TP + FP + FN)`` over connected components, diagonal neighbours being connected.

    TP are components of the reference that the prediction touches in a pixel or more, FN those that it does not, FP
    components of the prediction that touch none of the reference.
    """
    neighbours = np.ones((3,) * pair.reference.ndim)
    lesions, n_lesions = ndimage.label(pair.reference, neighbours)
    found_lesions, n_found = ndimage.label(pair.prediction, neighbours)
    true_positives = np.count_nonzero(np.unique(lesions[pair.prediction]))
    false_positives = n_found - np.count_nonzero(np.unique(found_lesions[pair.reference]))
    return float(2 * true_positives / (true_positives + n_lesions + false_positives))


_COMPUTE: dict[str, Callable[[MaskPair], float]] = {
    "dsc": _dsc,
    "nsd": _nsd,
    "hd95": _hd95,
    "assd": _assd,
    "rve": _rve,
    "precision": _precision,
    "recall": _recall,
    "lesion_f1": _lesion_f1,
}


def best_score(measure: str) -> float:
    """What two masks that agree score: 0 for errors, or else 1."""
    return 0.0 if measure in ERRORS else 1.0


def score_pair(measure: str, pair: MaskPair) -> float:
    """One measure of two masks.

    Parameters
    ----------
    measure : str
        A key of `MEASURES`.
    pair : MaskPair

    Returns
    -------
    float
        A share from 0 to 1, or an error of at least 0: HD95 and ASSD in the unit of the spacing, the volume error as
        a share of the reference. Always finite.
    """
    return best_score(measure) if pair.is_absent else _COMPUTE[measure](pair)
