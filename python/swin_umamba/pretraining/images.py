"""Images of any depth as three channels in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image
from torch import Tensor

from ..common.errors import UserError
from ..common.images.formats import JPEG_ENDINGS, PLAIN_ENDINGS, TIFF_ENDINGS
from ..common.images.reading import image_size, read_array

ENDINGS = PLAIN_ENDINGS + JPEG_ENDINGS
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "La", "RGBa")
# Outliers, as of hot pixels, would leave the rest of the image dark.
CLIPPED_PERCENTILES = (0.5, 99.5)


def read_size(path: Path) -> tuple[int, int]:
    """Height and width of an image, from its header.

    Raises
    ------
    UserError
        The file is no image that can be read.
    """
    if path.suffix.lower() not in TIFF_ENDINGS:
        return image_size(path)[0]
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            return page.imagelength, page.imagewidth
    except Exception as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def read_image(path: Path) -> Tensor:
    """Read an image for a classifier of colour images.

    8-bit images are divided by 255. Others (16 bits, floating point) have no common largest value: each is
    scaled by its own 0.5 and 99.5 percentiles and clipped. A greyscale image becomes three equal channels; an
    alpha channel is dropped.

    Parameters
    ----------
    path : Path
        PNG, JPEG, BMP or TIFF.

    Returns
    -------
    Tensor of shape (3, H, W), float32
        In [0, 1].

    Raises
    ------
    UserError
        The file cannot be read, is no 2-D image, or holds NaN or infinite values.
    """
    array = _read_tiff(path) if path.suffix.lower() in TIFF_ENDINGS else _read_with_pillow(path)
    if array.ndim == 2:
        array = np.broadcast_to(array[..., None], (*array.shape, 3))
    return torch.from_numpy(np.ascontiguousarray(_scale(array[..., :3], path).transpose(2, 0, 1)))


def _read_with_pillow(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB") if image.mode in EIGHT_BIT_MODES else image)
    except Exception as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _read_tiff(path: Path) -> np.ndarray:
    array = read_array(path)
    if array.ndim == 3 and array.shape[-1] in (1, 2):
        array = array[..., 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[-1] not in (3, 4)):
        raise UserError(f"{path} has shape {array.shape}; wanted is one 2-D image, greyscale or RGB, in each file")
    return array


def _scale(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds NaN or infinite values")
    low, high = np.percentile(values, CLIPPED_PERCENTILES).astype(np.float32)
    if low == high:
        low, high = values.min(), values.max()
    return np.clip((values - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
