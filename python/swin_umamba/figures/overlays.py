"""Labels laid over an image: at a size that is good to look at, or pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import find_boundaries

from .examples import Example, windowed
from .palette import MISTAKES, class_colour, numbers_classes

FILL_STRENGTH = 0.55
PIXEL_FILL_STRENGTH = 0.45
SMALLEST_SIDE, LARGEST_SIDE = 384, 640
NUMBER_SIZE = 15


def draw_example(example: Example, classes: dict[str, tuple[int, ...]]) -> tuple[dict[str, np.ndarray], ...]:
    """Draw the pictures of a case: its channels, and the labels over the first channel.

    Parameters
    ----------
    example
        The case.
    classes
        Label values of each class, by name; a later class lies over an earlier one.

    Returns
    -------
    channels : dict of str to numpy.ndarray
        Pictures (H, W, 3), uint8, by name of the channel. The longer side has 384 to 640 pixels, those of an image
        that had to be enlarged for it are squares.
    labels : dict of str to numpy.ndarray
        ``reference`` and ``prediction``, of the same size.
    """
    size = _shown_size(example)
    channels = {name: _resized_picture(picture, size) for name, picture in example.channels.items()}
    background = next(iter(channels.values()))
    labels = {
        name: _overlay(background, _resized_labels(values, size), classes)
        for name, values in (("reference", example.reference), ("prediction", example.prediction))
    }
    return channels, labels


def find_mistakes(
    reference: np.ndarray, prediction: np.ndarray, classes: dict[str, tuple[int, ...]], ignore_label: int | None = None
) -> np.ndarray:
    """What is wrong with each pixel of a prediction.

    Parameters
    ----------
    reference, prediction
        Integer label images of one shape.
    classes
        Label values of each class, by name.
    ignore_label
        Where the reference has it, nothing is wrong.

    Returns
    -------
    numpy.ndarray
        uint8, of the same shape: 0 where all classes are right, else the place in `MISTAKES`, counted from 1. A pixel
        that has one class too many and lacks another is of a wrong class.
    """
    too_many, too_few = np.zeros(reference.shape, bool), np.zeros(reference.shape, bool)
    for values in classes.values():
        there, found = np.isin(reference, values), np.isin(prediction, values)
        too_many |= found & ~there
        too_few |= there & ~found
    mistakes = too_many + 2 * too_few.astype(np.uint8)
    return mistakes if ignore_label is None else np.where(reference == ignore_label, np.uint8(0), mistakes)


def draw_difference(
    example: Example, classes: dict[str, tuple[int, ...]], ignore_label: int | None = None
) -> np.ndarray:
    """Draw the mistakes of a prediction over the first channel, in the colours of `MISTAKES`.

    Returns
    -------
    numpy.ndarray
        Picture (H, W, 3), uint8, of the size of those of `draw_example`. See `find_mistakes`.
    """
    size = _shown_size(example)
    background = _resized_picture(next(iter(example.channels.values())), size)
    mistakes = find_mistakes(example.reference, example.prediction, classes, ignore_label)
    kinds: dict[str, tuple[int, ...]] = {name: (index,) for index, name in enumerate(MISTAKES, start=1)}
    return _overlay(background, _resized_labels(mistakes, size), kinds, list(MISTAKES.values()))


def _shown_size(example: Example) -> tuple[int, int]:
    """Width and height in which pixels of the screen are square."""
    height, width = example.reference.shape
    # The side along which pixels are longer grows, so that no row or column is lost.
    height, width = height * max(1.0, example.pixel_aspect), width * max(1.0, 1 / example.pixel_aspect)
    longer = max(height, width)
    factor = min(1.0, LARGEST_SIDE / longer) if longer >= SMALLEST_SIDE else np.ceil(SMALLEST_SIDE / longer)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _resized_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(np.round(picture * 255).astype(np.uint8))
    shrinks = size[0] < image.width or size[1] < image.height
    return np.asarray(image.resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST))


def _resized_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(labels.astype(np.int32), mode="I")
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))


def _overlay(
    background: np.ndarray,
    labels: np.ndarray,
    classes: dict[str, tuple[int, ...]],
    colours: Sequence[str] | None = None,
) -> np.ndarray:
    """Each class tinted, with its border in full colour; ``colours`` are those of classes if ``None``."""
    shown = background.astype(np.float64)
    top = np.full(labels.shape, -1)
    for index, values in enumerate(classes.values()):
        mask = np.isin(labels, values)
        colour = 255 * np.array(to_rgb(colours[index] if colours else class_colour(index)))
        shown[mask] = (1 - FILL_STRENGTH) * background[mask] + FILL_STRENGTH * colour
        shown[mask & find_boundaries(mask, mode="inner")] = colour
        top[mask] = index
    picture = np.round(shown).astype(np.uint8)
    return _numbered(picture, top, len(classes)) if numbers_classes(len(classes)) else picture


def _numbered(picture: np.ndarray, top: np.ndarray, n_classes: int) -> np.ndarray:
    """Write the number of each class, counted from 1, where its region is widest, if it has room for it."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(NUMBER_SIZE)
    for index in range(n_classes):
        depth = distance_transform_edt(np.pad(top == index, 1))[1:-1, 1:-1]
        row, column = map(int, np.unravel_index(int(np.argmax(depth)), depth.shape))
        if depth[row, column] >= NUMBER_SIZE / 2:
            draw.text(
                (column, row), str(index + 1), font=font, anchor="mm", fill="white", stroke_width=2, stroke_fill="black"
            )
    return np.asarray(image)


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray, axes: tuple[int, ...] = (0, 1, 2)) -> None:
    """Tint each label, with its border in full colour; of a volume, the slice with the most labelled pixels.

    Parameters
    ----------
    path
        PNG file to write, of the size of a slice.
    image
        (C, Z, H, W): three channels are shown as RGB, else the first one in grey; the brightest and darkest half
        percent are clipped.
    labels
        Integer (Z, H, W). The background, 0, is left as it is.
    axes
        Which of Z, H and W the slices, their rows and their columns are.
    """
    image, labels = image.transpose(0, *(1 + axis for axis in axes)), labels.transpose(axes)
    z = int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))
    channels, labels = image[:, z], labels[z]
    shown = np.moveaxis(channels if len(channels) == 3 else np.repeat(channels[:1], 3, axis=0), 0, -1)
    shown = windowed(shown)
    colours = np.array([(0.0, 0.0, 0.0), *(to_rgb(class_colour(label)) for label in range(labels.max()))])
    strength = np.where(find_boundaries(labels, mode="inner", background=0), 1.0, PIXEL_FILL_STRENGTH) * (labels > 0)
    picture = shown + strength[..., np.newaxis] * (colours[labels] - shown)
    Image.fromarray(np.round(255 * picture).astype(np.uint8)).save(path)
