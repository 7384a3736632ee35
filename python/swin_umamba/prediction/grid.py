"""Where an image lies and how large its pixels are, from what its reader gave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..common.images.nifti import nifti_places
from ..common.images.nnunet_readers import header_of

_NO_SIZE = (999, 1, 1)
"""nnU-Net's spacing of images without a size in mm."""


def nifti_affine(properties: dict[str, Any]) -> np.ndarray | None:
    """The matrix (4, 4) from pixel index (x, y, z) to mm (right, anterior, superior); ``None`` where there is none."""
    if "sitk_stuff" not in properties:
        return None
    place = properties["sitk_stuff"]
    n = len(place["spacing"])
    affine = np.eye(4)
    affine[:n, :n] = np.reshape(place["direction"], (n, n)) * np.asarray(place["spacing"])
    affine[:n, 3] = place["origin"]
    # ITK's axes go to the left and to the back.
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def places(properties: dict[str, Any]) -> list[np.ndarray]:
    """The matrices (4, 4) of `nifti_affine` of all places that an image states; none where it states no place."""
    if "nifti_header" in properties:
        return nifti_places(header_of(properties["nifti_header"]))
    affine = nifti_affine(properties)
    if affine is None and "nibabel_stuff" in properties:
        affine = properties["nibabel_stuff"]["original_affine"]
    return [] if affine is None else [affine]


def pixel_size(properties: dict[str, Any]) -> tuple[float, str]:
    """The area or volume of a pixel, and its unit: ``mm2``, ``mm3``, or ``px`` where nothing is known."""
    if "sitk_stuff" in properties:
        spacing = properties["sitk_stuff"]["spacing"]
        return math.prod(map(float, spacing)), f"mm{len(spacing)}"
    if tuple(properties["spacing"]) == _NO_SIZE:
        return 1.0, "px"
    return math.prod(map(float, properties["spacing"])), "mm3"
