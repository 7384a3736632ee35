"""Overlap and surface agreement of two binary masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import surface_distance


def _check_masks(reference: np.ndarray, prediction: np.ndarray) -> None:
    for name, mask in (("reference", reference), ("prediction", prediction)):
        if not isinstance(mask, np.ndarray):
            raise TypeError(f"{name} must be a numpy array, got {type(mask).__name__}")
        if mask.dtype != bool:
            raise TypeError(f"{name} must be a mask of dtype bool, got {mask.dtype}; select a label first, e.g. x == 1")
        if mask.ndim not in (2, 3):
            raise ValueError(f"{name} must have 2 or 3 dimensions, got shape {mask.shape}")
    if reference.shape != prediction.shape:
        raise ValueError(f"reference and prediction must have one shape, got {reference.shape} and {prediction.shape}")


def dice_coefficient(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Dice similarity coefficient (DSC) of two masks, ``2 |R ∩ P| / (|R| + |P|)``.

    Parameters
    ----------
    reference, prediction : numpy.ndarray
        Masks of dtype bool and of one shape, (H, W) or (D, H, W).

    Returns
    -------
    float
        In [0, 1]. Two empty masks agree: 1. One empty mask: 0.

    Raises
    ------
    TypeError
        A mask is no numpy array of dtype bool.
    ValueError
        The masks have other than 2 or 3 dimensions, or differ in shape.
    """
    _check_masks(reference, prediction)
    total = int(np.count_nonzero(reference)) + int(np.count_nonzero(prediction))
    if total == 0:
        return 1.0
    return 2 * int(np.count_nonzero(reference & prediction)) / total


def normalized_surface_distance(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], tolerance: float
) -> float:
    """Normalized surface distance (NSD): the share of both surfaces that lies within ``tolerance`` of the other.

    Every surface element of either mask counts with its area, in 2-D with the length of the contour
    [Nikolov et al. 2018, "Deep learning to achieve clinically applicable segmentation of head and neck anatomy for
    radiotherapy"]. A 2-D mask is scored on its contour; it is not a slab of one voxel.

    Parameters
    ----------
    reference, prediction : numpy.ndarray
        Masks of dtype bool and of one shape, (H, W) or (D, H, W).
    spacing : sequence of float
        Pixel size along each axis, in array order, in mm (or any unit, the one of ``tolerance``).
    tolerance : float
        Largest distance at which surfaces still count as agreeing, in the unit of ``spacing``.

    Returns
    -------
    float
        In [0, 1]. Two empty masks agree: 1. One empty mask: 0.

    Raises
    ------
    TypeError
        A mask is no numpy array of dtype bool.
    ValueError
        The masks have other than 2 or 3 dimensions or differ in shape; ``spacing`` does not give a positive number
        for each axis; ``tolerance`` is negative or not finite.
    """
    _check_masks(reference, prediction)
    if len(spacing) != reference.ndim or not all(math.isfinite(s) and s > 0 for s in spacing):
        raise ValueError(
            f"spacing must be {reference.ndim} positive numbers, one for each axis of the masks of shape "
            f"{reference.shape}, got {tuple(spacing)}"
        )
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be a finite number of at least 0, got {tolerance}")
    # Settled here because surface-distance 0.1 fails on an empty mask with NumPy 2 (it asks for np.Inf).
    if not reference.any() or not prediction.any():
        return float(reference.any() == prediction.any())
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
    return float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance))
