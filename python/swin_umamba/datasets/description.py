"""``dataset.json`` of an nnU-Net raw data set, with its values in the form that nnU-Net means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import UserError, last_line

Labels = dict[str, int | list[int]]


def read_description(path: Path) -> dict[str, Any]:
    """Read a ``dataset.json``: channels in the order of their numbers, labels as whole numbers.

    Raises
    ------
    UserError
        It cannot be read, lacks something, or its labels cannot be trained on.
    """
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {last_line(error)}") from error
    if not isinstance(description, dict):
        raise UserError(f"{path} must hold one JSON object, got {type(description).__name__}")
    for key, wanted in (("channel_names", dict), ("labels", dict), ("numTraining", int), ("file_ending", str)):
        if not isinstance(description.get(key), wanted) or not description[key]:
            raise UserError(f"{path} has no valid {key!r}: got {description.get(key)!r}")
    channels = _channels(description["channel_names"], path)
    try:
        labels = whole_numbers(description["labels"])
        order = [int(value) for value in description.get("regions_class_order") or ()]
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} has wrong 'labels': {last_line(error)}") from error
    description |= {"channel_names": channels, "labels": labels}
    if order:
        description["regions_class_order"] = order
    _check_labels(description, path)
    return description


def whole_numbers(labels: Mapping[str, Any]) -> Labels:
    """Return labels as nnU-Net's LabelManager takes them: whole numbers, also where they are written as text."""
    return {name: [int(v) for v in value] if isinstance(value, list) else int(value) for name, value in labels.items()}


def _channels(names: dict[str, Any], path: Path) -> dict[str, Any]:
    """Channels in the order of their numbers: nnU-Net takes that of the text, which means nothing in JSON."""
    wanted = [str(index) for index in range(len(names))]
    if sorted(names) != sorted(wanted):
        raise UserError(f"{path}: 'channel_names' must have the keys 0, 1, 2, ... without gaps, got {list(names)}")
    return {key: names[key] for key in wanted}


def _check_labels(description: dict[str, Any], path: Path) -> None:
    # Imported here: nnU-Net takes seconds to import.
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    order = description.get("regions_class_order")
    try:
        labels = LabelManager(description["labels"], order)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{path} has wrong 'labels': {last_line(error)}") from error
    values = [*labels.all_labels, *([labels.ignore_label] if labels.has_ignore_label else [])]
    if values != list(range(len(values))) or len(values) < 2:
        raise UserError(f"{path}: 'labels' must be 0, 1, 2, ... without gaps, got {[int(v) for v in values]}")
    if labels.has_regions:
        regions = {
            name: np.atleast_1d(value).tolist()
            for name, value in description["labels"].items()
            if name != "ignore" and np.any(value)
        }
        _check_painting(regions, order, path)


def _check_painting(regions: dict[str, list[int]], order: Sequence[int], path: Path) -> None:
    """Raise `UserError` unless painting the regions, one over the other, gives each label's pixels its regions back."""
    wrong = _wrongly_painted(regions, order)
    if wrong is None:
        return
    label, painted = wrong
    # Larger regions first, so that smaller ones are seen; each in the colour of a label that no later region holds.
    sorted_regions = dict(sorted(regions.items(), key=lambda item: -len(item[1])))
    later = [set().union(*list(sorted_regions.values())[index + 1 :]) for index in range(len(regions))]
    right = [
        next((v for v in values if v not in held), values[0])
        for values, held in zip(sorted_regions.values(), later, strict=True)
    ]
    advice = "no order can: regions that are painted last hold several labels apart"
    if _wrongly_painted(sorted_regions, right) is None:
        advice = (
            f"name the regions in the order {', '.join(sorted_regions)} and set 'regions_class_order' to {right}, one "
            f"label of each region in that order"
        )
    raise UserError(
        f"{path}: 'regions_class_order' {list(order)} cannot paint the regions back: a pixel of label {label} would "
        f"become {painted}, which is in other regions; {advice}"
    )


def _wrongly_painted(regions: Mapping[str, Sequence[int]], order: Sequence[int]) -> tuple[int, int] | None:
    """A label whose pixels would get another one of other regions, and that one; ``None`` where there is none."""

    def held(label: int) -> list[str]:
        return [name for name, values in regions.items() if label in values]

    for label in sorted({value for values in regions.values() for value in values} - {0}):
        painted = [colour for values, colour in zip(regions.values(), order, strict=True) if label in values][-1]
        if held(painted) != held(label):
            return label, painted
    return None
