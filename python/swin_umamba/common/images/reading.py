"""Reading of image files as they are stored, and writing them.

What the libraries raise for damaged files is no closed list.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from skimage import io as skimage_io

from ..errors import UserError, last_line


def read_array(path: Path) -> np.ndarray:
    """Read a PNG, BMP, JPEG or TIFF image as it is stored.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    try:
        return np.asarray(skimage_io.imread(path))
    except Exception as error:
        raise UserError(f"{path} cannot be read: {last_line(error)}") from error


def image_size(path: Path) -> tuple[tuple[int, int], str]:
    """Return an image's (height, width) and Pillow's name of its mode, from its header alone.

    Raises
    ------
    UserError
        The file is no image that Pillow knows.
    """
    try:
        with Image.open(path) as image:
            return image.size[::-1], image.mode
    except Exception as error:
        raise UserError(f"{path} cannot be read: {last_line(error)}") from error


def open_nifti(path: Path) -> nibabel.Nifti1Image:
    """Open a NIfTI file; its voxels are read when they are asked for.

    Raises
    ------
    UserError
        The file is no NIfTI image.
    """
    try:
        return nibabel.load(path)
    except Exception as error:
        raise UserError(f"{path} cannot be read: {last_line(error)}") from error


def read_nifti_labels(path: Path, largest: int) -> np.ndarray:
    """Read the voxels of a NIfTI label image as uint8.

    Raises
    ------
    UserError
        The file cannot be read, or holds other values than whole numbers from 0 to ``largest``.
    """
    image = open_nifti(path)
    try:
        voxels = np.asanyarray(image.dataobj)
    except Exception as error:
        raise UserError(f"{path} cannot be read: {last_line(error)}") from error
    labels = np.unique(voxels)
    wrong = labels[~np.isin(labels, np.arange(largest + 1))]
    if wrong.size:
        raise UserError(f"{path} holds the label {wrong[0]}; wanted are whole numbers from 0 to {largest}")
    return voxels.astype(np.uint8)


def holds_nonfinite(array: np.ndarray, path: Path) -> bool:
    """Whether an image holds NaN or infinity.

    ITK's reader of NIfTI, which nnU-Net uses, makes 0 of them. The values of such a file are read once more, slice by
    slice.

    Parameters
    ----------
    array : numpy.ndarray
        What a reader has given, of any shape.
    path : pathlib.Path
        The file that it has read.

    Raises
    ------
    UserError
        The file cannot be read again.
    """
    if not np.isfinite(array).all():
        return True
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return False
    try:
        # A compressed file that is kept open is unpacked once, and not from its beginning for every slice.
        voxels = nibabel.load(path, keep_file_open=True).dataobj
        # Whole numbers are finite, whatever the header scales them by.
        if not np.issubdtype(voxels.dtype, np.inexact):
            return False
        return not all(np.isfinite(voxels[..., index]).all() for index in range(voxels.shape[-1]))
    except Exception as error:
        raise UserError(f"cannot read {path}: {last_line(error)}") from error


def nifti_bytes(labels: np.ndarray, like: nibabel.Nifti1Image) -> bytes:
    """Return the content of a ``.nii.gz`` file of uint8 labels on the grid of another image."""
    header = like.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    # A fixed time stamp: the same labels give the same bytes.
    return gzip.compress(nibabel.Nifti1Image(labels, like.affine, header).to_bytes(), compresslevel=6, mtime=0)


def png_bytes(array: np.ndarray) -> bytes:
    """Return the content of a PNG file of a (H, W) or (H, W, 3) uint8 array."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()
