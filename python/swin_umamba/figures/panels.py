"""Image, reference and prediction side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..files import replace_atomically

# Okabe and Ito's colours, told apart by colour-blind readers too.
CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#F0E442", "#0072B2")
OVERLAY_STRENGTH = 0.6


@dataclass(frozen=True)
class PanelRow:
    """One case of a panel.

    Attributes
    ----------
    image : numpy.ndarray
        (C, H, W): three channels are shown as RGB, else the first one in grey.
    reference, prediction : numpy.ndarray
        Integer label images (H, W).
    title : str
        Beside the row, for instance the case and its score.
    """

    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    title: str


def draw_panel(path: Path, rows: Sequence[PanelRow], classes: dict[str, tuple[int, ...]], title: str) -> None:
    """Draw one row for each case: image | reference | prediction, labels laid over the image.

    Parameters
    ----------
    path
        PNG file to write.
    rows
        The cases.
    classes
        Label values of each class, by name; a later class lies over an earlier one.
    title
        Above the picture.
    """
    figure = Figure(figsize=(9, 3.2 * len(rows) + 0.8), layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for row, (left, middle, right) in zip(rows, axes, strict=True):
        background = _background(row.image)
        left.imshow(background)
        middle.imshow(_overlay(background, row.reference, classes))
        right.imshow(_overlay(background, row.prediction, classes))
        left.set_ylabel(row.title)
        for cell in (left, middle, right):
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set_visible(False)
    for cell, name in zip(axes[0], ("image", "reference", "prediction"), strict=True):
        cell.set_title(name)
    handles = [Patch(color=_colour(index), label=name) for index, name in enumerate(classes)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    figure.suptitle(title)
    with replace_atomically(path) as file:
        figure.savefig(file, dpi=120, format="png")


def _colour(index: int) -> str:
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def _background(image: np.ndarray) -> np.ndarray:
    """The image as RGB in [0, 1], its brightest and darkest half percent clipped."""
    shown = np.moveaxis(image if len(image) == 3 else np.repeat(image[:1], 3, axis=0), 0, -1).astype(np.float64)
    low, high = np.percentile(shown, (0.5, 99.5))
    return np.clip((shown - low) / max(high - low, np.finfo(float).tiny), 0, 1)


def _overlay(background: np.ndarray, labels: np.ndarray, classes: dict[str, tuple[int, ...]]) -> np.ndarray:
    shown = background.copy()
    for index, values in enumerate(classes.values()):
        mask = np.isin(labels, values)
        shown[mask] = (1 - OVERLAY_STRENGTH) * background[mask] + OVERLAY_STRENGTH * np.array(to_rgb(_colour(index)))
    return shown
