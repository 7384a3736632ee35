"""Some images of a data set, each beside itself with its labels over it, so that a wrong pair is seen at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..common.files import replace_atomically
from .overlays import draw_example
from .palette import class_colour
from .panels import PanelRow, legend_names
from .style import figure_style

_PAIRS_A_ROW = 2


def draw_contact_sheet(path: Path, pairs: Sequence[PanelRow], classes: dict[str, tuple[int, ...]], title: str) -> None:
    """Draw two images a row, each beside its labels over it.

    Parameters
    ----------
    path
        PNG file to write.
    pairs
        The images with their labels as ``reference``, and what is written above each.
    classes
        Label values of each class, by name.
    title
        Above the picture.
    """
    n_rows = -(-len(pairs) // _PAIRS_A_ROW)
    with figure_style():
        figure = Figure(figsize=(3 * 2 * _PAIRS_A_ROW, 3.1 * n_rows + 0.8), layout="constrained")
        cells = figure.subplots(n_rows, 2 * _PAIRS_A_ROW, squeeze=False).ravel()
        for cell in cells:
            cell.set_axis_off()
        for pair, image_cell, label_cell in zip(pairs, cells[::2], cells[1::2], strict=False):
            channels, labels = draw_example(pair.example, classes)
            image_cell.imshow(next(iter(channels.values())))
            label_cell.imshow(labels["reference"])
            image_cell.set_title(pair.title, fontsize="small")
        handles = [Patch(color=class_colour(index), label=name) for index, name in enumerate(legend_names(classes))]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
        figure.suptitle(title)
        with replace_atomically(path) as file:
            figure.savefig(file, dpi=120, format="png")
