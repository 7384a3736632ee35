"""The contact sheet of a data set that was made of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...common.images.formats import image_ending
from ...common.images.reading import read_stored, read_stored_labels
from ...common.text import shortened
from ...figures.contact_sheet import draw_contact_sheet
from ...figures.examples import Example, windowed
from ...figures.panels import PanelRow
from ..preparation import Preparation

SHEET = "contact_sheet.png"
_N_PAIRS = 8
_LONGEST_NAME = 32


def write_sheet(preparation: Preparation, folder: Path) -> Path:
    """Draw eight pairs of a written data set, from the first case to the last, and return the picture's path."""
    labels = sorted(file.target for file in preparation.files if file.target.startswith("labels"))
    chosen = [labels[index] for index in np.unique(np.linspace(0, len(labels) - 1, _N_PAIRS).round().astype(int))]
    classes: dict[str, tuple[int, ...]] = {name: (label,) for name, label in preparation.definition.labels.items()}
    title = f"{preparation.definition.name}: {len(chosen)} of {len(labels)} cases"
    draw_contact_sheet(folder / SHEET, [_row(folder, target) for target in chosen], classes, title)
    return folder / SHEET


def _row(folder: Path, target: str) -> PanelRow:
    part, name = target.split("/")
    ending = image_ending(Path(name)) or ""
    case = name.removesuffix(ending)
    image = read_stored(folder / part.replace("labels", "images") / f"{case}_0000{ending}")
    labels = read_stored_labels(folder / target).values[0]
    z = int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))
    values = image.values[:, z] if len(image.values) == 3 else np.repeat(image.values[:1, z], 3, axis=0)
    spacing = image.spacing or (1.0, 1.0)
    example = Example(
        {"image": windowed(np.moveaxis(values, 0, -1))}, labels[z], labels[z], float(spacing[1]) / float(spacing[0])
    )
    shown = shortened(case, _LONGEST_NAME) + (f", slice {z + 1} of {len(labels)}" if len(labels) > 1 else "")
    return PanelRow(example, shown)
