"""What the network says about each pixel, as images on the grid of the image: probabilities and uncertainty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from ..common.images.encoding import write_pages
from ..common.images.nifti import nifti_maps, write_nifti
from ..common.images.nnunet_readers import header_of
from .grid import nifti_affine

MAP_ENDINGS = (".nii.gz", ".tif")


def map_ending(properties: dict[str, Any]) -> str:
    """The ending of a map: NIfTI where the image has a place in mm, else TIFF."""
    return ".tif" if nifti_affine(properties) is None else ".nii.gz"


def write_map(path: Path, values: np.ndarray, properties: dict[str, Any]) -> None:
    """Write a map of an image.

    Parameters
    ----------
    path
        With the ending of `map_ending`.
    values
        float32 (Z, H, W), or (n, Z, H, W) with an image for each class: the fourth axis of a NIfTI file, the pages of a
        TIFF file, all slices of a class after those of the class before.
    properties
        What the reader of the image gave.
    """
    affine = nifti_affine(properties)
    if affine is None:
        write_pages(path, values.reshape(-1, *values.shape[-2:]))
        return
    if "nifti_header" in properties:
        # A NIfTI image can lie at two places, and stretched, which ITK's way to state one cannot say.
        write_nifti(path, nifti_maps(values, header_of(properties["nifti_header"])))
        return
    # From (n, z, y, x) to (x, y, z, n).
    image = nibabel.Nifti1Image(np.ascontiguousarray(values.T), affine)
    image.header.set_xyzt_units("mm")
    write_nifti(path, image)


def uncertainty(probabilities: np.ndarray, has_regions: bool) -> np.ndarray:
    """Entropy of what a network says about each pixel, as a share of the largest possible.

    Parameters
    ----------
    probabilities
        float32 (n, Z, H, W), of the mean over folds and mirror images: of n classes, one of which a pixel has, or of n
        regions, each of which it may be in.
    has_regions
        Which of the two.

    Returns
    -------
    numpy.ndarray
        float32 (Z, H, W) in [0, 1]: ``-sum(p log p) / log n``; of regions the mean of their binary entropies.
    """
    if not has_regions:
        entropy = _plogp(probabilities).sum(axis=0) / -np.log(len(probabilities))
    else:
        entropy = (_plogp(probabilities) + _plogp(1 - probabilities)).mean(axis=0) / -np.log(2)
    clipped: np.ndarray = np.clip(entropy, 0, 1).astype(np.float32)
    return clipped


def _plogp(p: np.ndarray) -> np.ndarray:
    product: np.ndarray = p * np.log(p, where=p > 0, out=np.zeros_like(p))
    return product
