"""The one way by which images and label images are read, whatever reads them afterwards."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import logging
import re
import warnings
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from ..errors import UserError, last_line
from ..text import one_line
from .formats import ITK_ENDINGS, NIFTI_ENDINGS, image_ending
from .itk import read_itk
from .nifti import open_nifti_image, read_nifti
from .plain import PILLOW_FORMATS, read_plain
from .stored import ImageFault, StoredImage, as_labels

# They tell of every oddity of a file beside the one line of ours.
for _library in ("tifffile", "nibabel"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_stored(path: Path, *, labels: bool = False, strict: bool = True) -> StoredImage:
    """Read an image file as docs/images.md says.

    Parameters
    ----------
    path
        Its ending tells the format.
    labels
        Whether it is a label image: a palette's indices are its values, and what is stored with a loss is refused.
    strict
        Whether to refuse PNG, JPEG and TIFF files that programs read in more than one way; see `read_plain`.

    Raises
    ------
    ImageFault
        It cannot be read, or is none.
    """
    ending = image_ending(path)
    try:
        if ending in NIFTI_ENDINGS:
            return read_nifti(path)
        if ending in ITK_ENDINGS:
            return read_itk(path)
        image = read_plain(path, labels=labels, strict=strict)
        return image if image.n_axes == 2 else dataclasses.replace(image, spacing=_spacing_beside(path))
    except ImageFault:
        raise
    # Readers raise whatever their libraries raise, which is no closed list.
    except Exception as error:
        is_lost = path.is_symlink() and not path.exists()
        raise ImageFault(
            "it is a link to a file that is not there; fetch it" if is_lost else last_line(error)
        ) from error


def read_stored_labels(path: Path) -> StoredImage:
    """Read a label image: one channel of whole numbers of at least 0.

    Raises
    ------
    ImageFault
        It cannot be read, or is none.
    """
    image = read_stored(path, labels=True)
    if len(image.values) != 1:
        shape = (*image.values.shape[4 - image.n_axes :], len(image.values))
        raise ImageFault(f"it has shape {shape}; a label image has one channel, each pixel holding its label")
    return dataclasses.replace(image, values=as_labels(image.values))


def _spacing_beside(path: Path) -> tuple[float, ...]:
    """Of a TIFF volume, from ``CASE.json`` beside it, as nnU-Net's converters write it; else 1 mm."""
    name = path.name.rpartition(".")[0]
    # A case may be called as if the number of a channel stood behind it.
    for beside in (path.with_name(f"{name}.json"), path.with_name(f"{re.sub(r'_[0-9]{4}$', '', name)}.json")):
        if beside.is_file():
            try:
                spacing = tuple(float(size) for size in json.loads(beside.read_text(encoding="utf-8"))["spacing"])
            except (ValueError, KeyError, TypeError) as error:
                raise ImageFault(
                    f'{beside.name} has no spacing in the form {{"spacing": [4, 0.7, 0.5]}}; add it, or take it away'
                ) from error
            if len(spacing) != 3 or not all(np.isfinite(size) and size > 0 for size in spacing):
                raise ImageFault(
                    f"{beside.name} has the spacing {one_line(str(spacing), 80)}; three positive numbers are wanted"
                )
            return spacing[::-1]
    return (1.0, 1.0, 1.0)


def read_array(path: Path, *, labels: bool = False) -> np.ndarray:
    """Read a PNG, BMP, JPEG or TIFF image as it is stored: (H, W), or (H, W, C) of several channels.

    What tags say about showing it is not followed, as in the scripts by which the data sets of challenges were made.

    Raises
    ------
    UserError
        The file cannot be read, or holds several images.
    """
    try:
        image = read_stored(path, labels=labels, strict=False)
        if image.n_axes != 2:
            raise ImageFault(f"it has shape {image.values.shape[1:]}; wanted are 1, 3 or 4 channels of one 2-D image")
    except ImageFault as fault:
        raise UserError(fault.of(path)) from fault
    array = np.moveaxis(image.values[:, 0], 0, -1)
    return array[..., 0] if array.shape[-1] == 1 else array


def image_size(path: Path) -> tuple[tuple[int, int], str]:
    """Return an image's (height, width) and Pillow's name of its mode, from its header alone.

    Raises
    ------
    UserError
        The file is no image that Pillow knows.
    """
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            return image.size[::-1], image.mode
    except Exception as error:
        raise UserError(f"{path} cannot be read: {last_line(error)}") from error


def palette_of(path: Path) -> list[int] | None:
    """Return the colours of a PNG or BMP image of a palette, as ``0xrrggbb`` by index; ``None`` of other images.

    Raises
    ------
    UserError
        The file is no image that Pillow knows.
    """
    if not path.name.lower().endswith((".png", ".bmp")):
        return None
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            flat = image.getpalette("RGB") if image.mode == "P" else None
    except Exception as error:
        raise UserError(f"{path} cannot be read: {last_line(error)}") from error
    return flat and [red << 16 | green << 8 | blue for red, green, blue in zip(*[iter(flat)] * 3, strict=True)]


def open_nifti(path: Path) -> nibabel.Nifti1Image:
    """Open a NIfTI file; its voxels are read when they are asked for.

    Raises
    ------
    UserError
        The file is no NIfTI image.
    """
    try:
        return open_nifti_image(path)
    except ImageFault as fault:
        raise UserError(fault.of(path)) from fault
    except Exception as error:
        raise UserError(f"{path} cannot be read: {last_line(error)}") from error


def read_nifti_labels(path: Path, largest: int) -> np.ndarray:
    """Read the voxels of a NIfTI label image, (X, Y, Z) uint8.

    Raises
    ------
    UserError
        The file cannot be read, or holds other values than whole numbers from 0 to ``largest``.
    """
    try:
        labels = read_stored_labels(path).values[0].T
    except ImageFault as fault:
        raise UserError(fault.of(path)) from fault
    if (highest := int(labels.max())) > largest:
        raise UserError(f"{path} holds the label {highest}; wanted are whole numbers from 0 to {largest}")
    as_bytes: np.ndarray = labels.astype(np.uint8)
    return as_bytes


def nifti_bytes(labels: np.ndarray, like: nibabel.Nifti1Image) -> bytes:
    """Return the content of a ``.nii.gz`` file of uint8 labels on the grid of another image."""
    header = like.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    # A fixed time stamp: the same labels give the same bytes.
    return gzip.compress(nibabel.Nifti1Image(labels, like.affine, header).to_bytes(), compresslevel=6, mtime=0)


def png_bytes(array: np.ndarray) -> bytes:
    """Return the content of a PNG file of a (H, W) or (H, W, 3) array of uint8 or uint16."""
    if array.dtype == np.uint16:
        # Pillow writes no colours of 16 bits.
        import imagecodecs

        return bytes(imagecodecs.png_encode(array))
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()
