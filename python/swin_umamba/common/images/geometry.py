"""Where images lie in space."""

from __future__ import annotations

import itertools
from typing import Any

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


def affine_of(properties: dict[str, Any]) -> np.ndarray | None:
    """The position of an image that one of nnU-Net's readers has read.

    Parameters
    ----------
    properties : dict
        What the reader gives beside the array.

    Returns
    -------
    numpy.ndarray or None
        (4, 4) matrix from voxel index, in the order of the file (x, y, z), to mm; None where the format has no
        position. Readers differ in the signs of the axes, so that only images of one reader can be compared.
    """
    if "nibabel_stuff" in properties:
        nibabel = properties["nibabel_stuff"]
        return np.asarray(nibabel.get("reoriented_affine", nibabel["original_affine"]))
    if "sitk_stuff" not in properties:
        return None
    itk = properties["sitk_stuff"]
    axes = len(itk["spacing"])
    # The fourth axis of a file counts its channels.
    n = min(axes, 3)
    affine = np.eye(4)
    affine[:n, :n] = np.reshape(itk["direction"], (axes, axes))[:n, :n] * itk["spacing"][:n]
    affine[:n, 3] = itk["origin"][:n]
    return affine
