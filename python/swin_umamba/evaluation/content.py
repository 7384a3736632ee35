"""What a data set holds, as nnU-Net reads it: sizes, spacings, and the pixels of each class."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

    from ..datasets import Case, RawDataset


def describe_content(
    dataset: RawDataset, parts: Mapping[str, Sequence[Case]], scored: Collection[str], reader: BaseReaderWriter
) -> dict[str, Any]:
    """Read the label images of some parts of a data set and say what they hold.

    Parameters
    ----------
    dataset
        Names the channels and classes, and the groups of cases where there are any.
    parts
        The cases of each part, by its name; at least one case in all.
    scored
        Cases whose own pixels are said as well.
    reader
        nnU-Net's reader for these files.

    Returns
    -------
    dict
        The fields of `swin_umamba.runs.record.DataRecord`. Background is what has no class and is not ignored; regions
        may overlap.
    """
    sizes, spacings, of_parts, of_scored = [], [], {}, {}
    for name, cases in parts.items():
        pixels = dict.fromkeys(("background", *dataset.classes), 0)
        for case in cases:
            labels, properties = reader.read_seg(str(case.label))
            # nnU-Net gives a 2-D image a first axis of length 1.
            first = 1 if labels.shape[1] == 1 else 0
            sizes.append(labels.shape[1 + first :])
            spacings.append([float(size) for size in properties["spacing"][first:]])
            counts = count_pixels(labels, dataset.classes, dataset.ignore_label)
            pixels = {label: pixels[label] + count for label, count in counts.items()}
            if case.identifier in scored:
                of_scored[case.identifier] = {label: counts[label] for label in dataset.classes}
        of_parts[name] = {"cases": len(cases), "pixels": pixels}
        if dataset.groups is not None:
            of_parts[name]["groups"] = len({dataset.groups[case.identifier] for case in cases})
    return {
        "channels": list(map(str, dataset.description["channel_names"].values())),
        "sizes": _range(sizes),
        "spacings": _range(spacings),
        "parts": of_parts,
        "scored_pixels": of_scored,
    }


def count_pixels(labels: np.ndarray, classes: Mapping[str, Sequence[int]], ignore_label: int | None) -> dict[str, int]:
    """The pixels of the background and of each class in an integer label image."""
    values, counts = np.unique(labels, return_counts=True)
    labelled = {value for group in classes.values() for value in group} | {ignore_label}
    background = sum(int(n) for value, n in zip(values, counts, strict=True) if int(value) not in labelled)
    return {
        "background": background,
        **{name: int(counts[np.isin(values, list(group))].sum()) for name, group in classes.items()},
    }


def _range(values: Sequence[Sequence[float]]) -> list[list[float]]:
    """Smallest and largest of each axis; of images that differ in their axes, of the last two."""
    n_axes = min(map(len, values))
    array = np.array([value[len(value) - n_axes :] for value in values])
    return [array.min(axis=0).tolist(), array.max(axis=0).tolist()]
