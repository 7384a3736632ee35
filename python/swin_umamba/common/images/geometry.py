"""Where images lie in space."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np


def corner_distance(shape: tuple[int, ...], affine_a: np.ndarray, affine_b: np.ndarray) -> float:
    """The largest distance between the places that two images of one shape give to the same voxel.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each of up to 3 axes, in the order of the affines' columns.
    affine_a, affine_b : numpy.ndarray
        (4, 4) matrices from voxel index to mm.

    Returns
    -------
    float
        In mm. It is the distance at a corner, since a difference of affine maps is largest there.
    """
    ranges = [(0, size - 1) for size in shape] + [(0,)] * (3 - len(shape))
    corners = np.array([(*corner, 1) for corner in itertools.product(*ranges)], dtype=float)
    return float(np.linalg.norm(corners @ (affine_a - affine_b).T, axis=1).max())


def position_distance(shape: tuple[int, ...], first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """How far apart two images of one shape lie, in mm: 0 where one has no position.

    A file that states two places lies at both, so that the nearest pair of places counts.

    Parameters
    ----------
    shape : tuple of int
        Voxels along x, y and z.
    first, second : sequence of numpy.ndarray
        The affines of each image, see `StoredImage`.
    """
    return min((corner_distance(shape, a, b) for a in first for b in second), default=0.0)
