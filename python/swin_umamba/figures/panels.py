"""Image, reference and prediction side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..common.files import replace_atomically
from .examples import Example
from .overlays import draw_example
from .palette import class_colour, numbers_classes
from .style import figure_style


@dataclass(frozen=True)
class PanelRow:
    """One case of a panel, with what is written beside it, for instance its name and score."""

    example: Example
    title: str


def draw_panel(path: Path, rows: Sequence[PanelRow], classes: dict[str, tuple[int, ...]], title: str) -> None:
    """Draw one row for each case: its channels | reference | prediction, labels laid over the first channel.

    Parameters
    ----------
    path
        PNG file to write.
    rows
        The cases; all have the same channels.
    classes
        Label values of each class, by name; a later class lies over an earlier one.
    title
        Above the picture.
    """
    n_columns = len(rows[0].example.channels) + 2
    with figure_style():
        figure = Figure(figsize=(3 * n_columns, 3.2 * len(rows) + 0.8), layout="constrained")
        grid = figure.subplots(len(rows), n_columns, squeeze=False)
        for row, cells in zip(rows, grid, strict=True):
            channels, labels = draw_example(row.example, classes)
            for cell, picture in zip(cells, (*channels.values(), *labels.values()), strict=True):
                cell.imshow(picture)
                cell.set(xticks=[], yticks=[])
                cell.spines[:].set_visible(False)
            cells[0].set_ylabel(row.title)
        for cell, name in zip(grid[0], (*channels, *labels), strict=True):
            cell.set_title(name)
        handles = [Patch(color=class_colour(index), label=name) for index, name in enumerate(legend_names(classes))]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
        figure.suptitle(title)
        with replace_atomically(path) as file:
            figure.savefig(file, dpi=120, format="png")


def legend_names(classes: dict[str, tuple[int, ...]]) -> list[str]:
    """Names of the classes as the pictures show them: behind their numbers, where there are many."""
    if not numbers_classes(len(classes)):
        return list(classes)
    return [f"{number} {name}" for number, name in enumerate(classes, start=1)]
