"""Counting of cells that were found: instances, their matching by overlap, and F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.measure import label

BORDER_WIDTH = 2
"""Cells that touch this many of the outermost pixels are not scored, as their true extent is not seen."""


@dataclass(frozen=True)
class MatchCounts:
    """Cells found, found in vain, and missed."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def f1(self) -> float:
        """``2 TP / (2 TP + FP + FN)``; 1 where there is no cell and none was predicted."""
        cells = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / cells if cells else 1.0


def label_components(mask: np.ndarray) -> np.ndarray:
    """Number the connected components of a 2-D mask from 1; diagonal neighbours are connected."""
    components: np.ndarray = label(mask, connectivity=2)
    return components


def remove_border_cells(instances: np.ndarray, width: int = BORDER_WIDTH) -> np.ndarray:
    """Return a copy of an (H, W) instance image without the instances that touch its outer ``width`` pixels."""
    frame = np.ones(instances.shape, dtype=bool)
    frame[width : instances.shape[0] - width, width : instances.shape[1] - width] = False
    touching = np.unique(instances[frame])
    return np.where(np.isin(instances, touching), 0, instances)


def match_cells(reference: np.ndarray, prediction: np.ndarray, threshold: float = 0.5) -> MatchCounts:
    """Match the instances of two images one to one, as many as possible, where they overlap enough.

    A pair may match where its intersection over union is at least ``threshold``. The largest number of matches is
    what Hungarian matching with these pairs preferred finds too; from 0.5 on nearly every pair is the only one of its
    cells, so the sparse graph of pairs needs little memory for any number of cells.

    Parameters
    ----------
    reference, prediction : numpy.ndarray
        (H, W) integers; 0 is background, every other value one instance.
    threshold : float
        Least intersection over union, in (0, 1].

    Returns
    -------
    MatchCounts
        Matches, predictions without and references without a match.

    Raises
    ------
    ValueError
        The shapes differ, or ``threshold`` is outside (0, 1].
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"reference and prediction must have one shape, got {reference.shape} and {prediction.shape}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    reference_index, reference_size = _number_cells(reference)
    prediction_index, prediction_size = _number_cells(prediction)
    both = (reference_index >= 0) & (prediction_index >= 0)
    coordinates = (reference_index[both], prediction_index[both])
    overlap = coo_array((np.ones(both.sum(), dtype=np.int64), coordinates), (len(reference_size), len(prediction_size)))
    pairs = overlap.tocsr().tocoo()  # adds up the pixels of each pair
    enough = pairs.data / (reference_size[pairs.row] + prediction_size[pairs.col] - pairs.data) >= threshold
    matches = 0
    if enough.any():
        graph = coo_array((enough[enough], (pairs.row[enough], pairs.col[enough])), pairs.shape)
        matches = int((maximum_bipartite_matching(graph.tocsr()) >= 0).sum())
    return MatchCounts(matches, len(prediction_size) - matches, len(reference_size) - matches)


def _number_cells(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat image with its cells numbered from 0 without gaps, -1 outside, and their sizes in pixels."""
    pixels = instances.ravel()
    inside = pixels != 0
    _, numbers, sizes = np.unique(pixels[inside], return_inverse=True, return_counts=True)
    index = np.full(pixels.size, -1)
    index[inside] = numbers
    return index, sizes
