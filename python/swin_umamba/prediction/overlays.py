"""A predicted label image laid over its image, pixel by pixel, as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from skimage.exposure import rescale_intensity
from skimage.io import imsave
from skimage.segmentation import find_boundaries

from ..figures.palette import class_colour

FILL_STRENGTH = 0.45
CLIPPED_PERCENT = 0.5


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray) -> None:
    """Tint each label, with its border in full colour; of a volume, the slice with the most labelled pixels.

    Parameters
    ----------
    path
        PNG file to write, of the image's size.
    image
        (C, Z, H, W): three channels are shown as RGB, else the first one in grey; the brightest and darkest half
        percent are clipped.
    labels
        Integer (Z, H, W). The background, 0, is left as it is.
    """
    z = int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))
    channels, labels = image[:, z], labels[z]
    shown = np.moveaxis(channels if len(channels) == 3 else np.repeat(channels[:1], 3, axis=0), 0, -1)
    low, high = np.percentile(shown, (CLIPPED_PERCENT, 100 - CLIPPED_PERCENT))
    # An image of one value has no range to show.
    shown = rescale_intensity(shown, (low, high), (0.0, 1.0)) if high > low else np.zeros_like(shown)
    colours = np.array([(0.0, 0.0, 0.0), *(to_rgb(class_colour(label)) for label in range(labels.max()))])
    strength = np.where(find_boundaries(labels, mode="inner", background=0), 1.0, FILL_STRENGTH) * (labels > 0)
    picture = shown + strength[..., np.newaxis] * (colours[labels] - shown)
    imsave(path, np.round(255 * picture).astype(np.uint8), check_contrast=False)
