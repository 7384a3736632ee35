"""What the pixels of masks are: values and colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...common.images.formats import JPEG_ENDINGS, LOSSY, image_ending
from ...common.images.reading import read_stored
from ...common.images.stored import ImageFault, StoredImage, as_labels
from .label_names import MOST_LABELS

REPEAT = 0x010101
"""By which a shade of grey becomes the number of its colour."""


@dataclass
class FoundValues:
    """The values in all masks, with a file that has each.

    Attributes
    ----------
    grey, colours : dict
        From value, or number of a colour (``0xrrggbb``), to a file that has it; some more than labels of 8 bits alone.
    most_together : int
        The largest number of values beside 0 in one file.
    """

    grey: dict[int, Path] = field(default_factory=dict)
    colours: dict[int, Path] = field(default_factory=dict)
    most_together: int = 0

    def add(self, codes: np.ndarray, is_colour: bool, path: Path) -> None:
        self.most_together = max(self.most_together, int(np.count_nonzero(codes)))
        known = self.colours if is_colour else self.grey
        for value in codes.tolist():
            if len(known) <= MOST_LABELS + 1:
                known.setdefault(value, path)

    def all(self, as_colours: bool) -> dict[int, Path]:
        """Values of all files as shades or, where one has colours, as colours."""
        if not as_colours:
            return self.grey
        return {**{value * REPEAT: path for value, path in self.grey.items()}, **self.colours}


def read_mask(path: Path, *, threshold: int | None = None, palette_as_colours: bool = False) -> StoredImage:
    """Read a mask of one channel or of colours.

    Raises
    ------
    ImageFault
        It is none, or its pixels are partly transparent.
    """
    lossy = image_ending(path, JPEG_ENDINGS) is not None
    if lossy and threshold is None:
        raise ImageFault(f"{LOSSY}; or say by --threshold 128 that values from 128 on are one class")
    image = read_stored(path, labels=not (lossy or palette_as_colours))
    return opaque(image)


def opaque(image: StoredImage) -> StoredImage:
    """Return an image without its channel of opacity.

    Raises
    ------
    ImageFault
        Some pixels are transparent.
    """
    if len(image.values) not in (2, 4) or image.n_axes != 2 or image.white is None:
        return image
    if (image.values[-1] != image.white).any():
        raise ImageFault("it has pixels that are partly transparent; store it without transparency")
    return StoredImage(image.values[:-1], 2, image.spacing, image.affines, image.white, image.header)


def codes_of(image: StoredImage, threshold: int | None = None) -> tuple[np.ndarray, bool]:
    """Return the stored values of a mask, integer (Z, H, W), and whether they are numbers of colours.

    Raises
    ------
    ImageFault
        They are no labels.
    """
    values = image.values
    is_colour = False
    if len(values) == 3 and image.n_axes == 2:
        if (values[0] == values[1]).all() and (values[0] == values[2]).all():
            values = values[:1]
        else:
            is_colour = True
    elif len(values) != 1:
        raise ImageFault(f"it has {len(values)} channels; a mask has one, or the three of colours")
    if threshold is not None:
        return (values.max(axis=0) >= threshold).astype(np.uint8), False
    if is_colour:
        if values.dtype != np.uint8:
            raise ImageFault("it has colours of more than 8 bits; store it with 8 bits a channel")
        red, green, blue = values.astype(np.int32)
        return red << 16 | green << 8 | blue, True
    return as_labels(values[0]), False


def unique_values(codes: np.ndarray) -> np.ndarray:
    """Return the different values, sorted; those of 8 bits are counted, which is faster than sorting them."""
    if codes.dtype == np.uint8:
        return np.flatnonzero(np.bincount(codes.ravel(), minlength=256))
    return np.unique(codes)
