"""Images of any depth as three channels in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import Tensor

from ..common.errors import UserError
from ..common.images.formats import JPEG_ENDINGS, PLAIN_ENDINGS, TIFF_ENDINGS
from ..common.images.reading import image_size, read_stored
from ..common.images.stored import ImageFault

ENDINGS = PLAIN_ENDINGS + JPEG_ENDINGS
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
            page = file.pages.first
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
    try:
        # A class does not depend on which side is up.
        image = read_stored(path, strict=False)
    except ImageFault as fault:
        raise UserError(fault.of(path)) from fault
    channels = image.values
    if image.n_axes != 2:
        raise UserError(
            f"{path} has shape {channels.shape[1:]}; wanted is one 2-D image, greyscale or RGB, in each file"
        )
    # Of grey and alpha, and of colours and alpha, alpha is the last.
    colours = channels[:3, 0] if len(channels) >= 3 else np.broadcast_to(channels[:1, 0], (3, *channels.shape[2:]))
    return torch.from_numpy(np.ascontiguousarray(_scale(colours, image.white, path)))


def _scale(array: np.ndarray, white: int | None, path: Path) -> np.ndarray:
    values = array.astype(np.float32)
    if white is not None and white <= 255:
        return values / white
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds NaN or infinite values")
    low, high = np.percentile(values, CLIPPED_PERCENTILES).astype(np.float32)
    if low == high:
        low, high = values.min(), values.max()
    clipped: np.ndarray = np.clip((values - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    return clipped
