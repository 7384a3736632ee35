"""How much of each label a prediction has: size, number of structures, intensity."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..common.files import replace_atomically
from ..common.text import distinct
from .grid import pixel_size


def measure_labels(
    case: str,
    labels: np.ndarray,
    image: np.ndarray,
    properties: dict[str, Any],
    names: Mapping[str, int | list[int]],
    channels: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Measure each label of a case.

    Parameters
    ----------
    case
        Its identifier.
    labels
        Integer (Z, H, W).
    image
        (C, Z, H, W), as it was read.
    properties
        What the reader gave.
    names
        From each label's name to its value, or to the values of a region; without background and what is ignored.
    channels
        From each channel's number to its name, of which several may be one, as of colours to nnU-Net.

    Returns
    -------
    list of dict
        A row for each label: ``case``, ``label``, ``pixels``, ``size`` in ``unit`` (px, mm2 or mm3), ``structures``
        (whose pixels touch, if only at a corner) and ``mean NAME`` of each channel, empty where there is no pixel.
    """
    size, unit = pixel_size(properties)
    columns = distinct(list(channels.values()))
    rows = []
    for name, values in names.items():
        mask = np.isin(labels, values)
        n_pixels = int(mask.sum())
        row = {"case": case, "label": name, "pixels": n_pixels, "size": f"{n_pixels * size:.10g}", "unit": unit}
        row["structures"] = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))[1]
        for number, column in zip(channels, columns, strict=True):
            mean = image[int(number)][mask].mean(dtype=np.float64) if n_pixels else None
            row[f"mean {column}"] = "" if mean is None else f"{mean:.7g}"
        rows.append(row)
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as a CSV file with the names of all their columns first."""
    text = io.StringIO(newline="")
    # Cases that a former version has measured may have others.
    columns = dict.fromkeys(name for row in rows or [{"case": "", "label": ""}] for name in row)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replace_atomically(path) as file:
        file.write(text.getvalue().encode())


def gather(folder: Path, target: Path) -> None:
    """Write the rows of all cases, which lie in a file each, into one."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    write_rows(target, rows)
