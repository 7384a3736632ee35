"""``dataset.json`` of an nnU-Net raw data set, with its values in the form that nnU-Net means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import Faults, UserError, last_line
from ..common.text import one_line
from ..common.typed_json import from_json, load_json, shown
from .segment_codes import segment_codes

Labels = dict[str, int | list[int]]

_FORMER_KEYS = ("modality", "training", "numTest", "tensorImageSize")
_WANTED = {
    "channel_names": """an object such as {"0": "CT"}""",
    "labels": """an object such as {"background": 0, "tumour": 1}""",
    "numTraining": "the number of training cases",
    "file_ending": "the end of the files' names with its dot, such as .nii.gz",
}


@dataclass(frozen=True)
class _ListedCase:
    """A case in ``dataset`` of a description that names every file."""

    images: tuple[str, ...]
    label: str


def read_description(path: Path) -> dict[str, Any]:
    """Read a ``dataset.json``: channels in the order of their numbers, labels as whole numbers.

    Raises
    ------
    UserError
        It cannot be read, or has another form, or values of another kind than nnU-Net wants, or labels that cannot be
        trained on. All faults are told together.
    """
    try:
        description = load_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {last_line(error)}") from error
    if not isinstance(description, dict):
        raise UserError(f"{path} must hold one JSON object, got {type(description).__name__}")
    refuse_former_form(description, path)
    number = description.get("numTraining")
    if isinstance(number, float) and number.is_integer():
        description["numTraining"] = int(number)  # to JSON, 5 and 5.0 are one number
    faults = Faults()
    for key, wanted in _WANTED.items():
        for fault in _faults_of(key, description.get(key)):
            faults.add(f"{path} has no valid {key!r}: {fault}; give {wanted}")
    if description.get("overwrite_image_reader_writer", "") is None:
        del description["overwrite_image_reader_writer"]
    optional = {"overwrite_image_reader_writer": str, "dataset": dict[str, _ListedCase]}
    for key, kind in optional.items():
        if key in description:
            try:
                from_json(kind, description[key], f"{key!r}")
            except ValueError as error:
                faults.add(f"{path}: {error}; correct it, or leave {key!r} out")
    listed = description.get("dataset")
    for name in listed if isinstance(listed, dict) else ():
        if not name or name in (".", "..") or set(name) & set("/\\\0"):
            faults.add(f"{path}: 'dataset' has a case named {shown(name)}, which no file can be named; rename it")
    order = description.get("regions_class_order")
    try:
        order = [_whole_number(value) for value in from_json(tuple[int | float | str, ...] | None, order) or ()]
    except ValueError as error:
        faults.add(
            f"{path} has no valid 'regions_class_order', {shown(order)}: {error}; give one label of each region, as in "
            f"[1, 2]"
        )
    with faults.caught():
        codes = segment_codes(description, path)
        labels = description.get("labels")
        if isinstance(labels, dict) and (unknown := sorted(codes.keys() - labels.keys())):
            named = one_line(", ".join(unknown), 80)
            faults.add(f"{path}: 'segment_codes' names {named}, which 'labels' has not; write names as in it")
    faults.tell(str(path))
    description["labels"] = whole_numbers(description["labels"])
    if order:
        description["regions_class_order"] = order
    # nnU-Net takes them in the order of the text, which means nothing in JSON.
    channels = description["channel_names"]
    description["channel_names"] = {key: channels[key] for key in _channel_keys(channels)}
    _check_labels(description, path)
    return description


def _channel_keys(channels: Mapping[str, Any]) -> list[str]:
    return [str(index) for index in range(len(channels))]


def _faults_of(key: str, value: Any) -> Iterator[str]:
    """What is wrong with the value of a key that there must be."""
    kind = {"channel_names": dict, "labels": dict, "numTraining": int, "file_ending": str}[key]
    if not isinstance(value, kind) or isinstance(value, bool) or not value:
        yield f"got {shown(value)}"
    elif isinstance(value, int) and value < 1:
        yield f"got {value}"
    elif isinstance(value, str) and (not value.startswith(".") or "/" in value or not value.isprintable()):
        yield f"got {shown(value)}"
    elif key == "channel_names" and isinstance(value, dict):
        wanted = _channel_keys(value)
        if sorted(value) != sorted(wanted):
            yield f"it must have the keys 0, 1, 2, ... without gaps, got {shown(list(value))}"
            return
        for channel, name in value.items():
            if not isinstance(name, str):
                yield f"the name of channel {shown(channel)} is {shown(name)}"
    elif key == "labels" and isinstance(value, dict):
        for name, label in value.items():
            try:
                whole_numbers({name: label})
            except ValueError as error:
                yield last_line(error)


def refuse_former_form(description: Mapping[str, Any], path: Path) -> None:
    """Raise `UserError` for a ``dataset.json`` of nnU-Net 1 or of the Medical Segmentation Decathlon."""
    labels = description.get("labels")
    numbered = isinstance(labels, dict) and bool(labels) and all(key.isdecimal() for key in labels)
    if "channel_names" in description or not (numbered or any(key in description for key in _FORMER_KEYS)):
        return
    folder = path.parent
    of_channels = [image.name.rpartition("_")[2].partition(".")[0] for image in folder.glob("imagesTr/*")]
    if of_channels and not any(len(channel) == 4 and channel.isdecimal() for channel in of_channels):
        form, converter = "the Medical Segmentation Decathlon", f"nnUNetv2_convert_MSD_dataset -i {folder}"
    else:
        form, converter = "nnU-Net 1", f"nnUNetv2_convert_old_nnUNet_dataset {folder} DatasetXXX_NAME"
    other = "" if of_channels else f", or if it is of the Decathlon, nnUNetv2_convert_MSD_dataset -i {folder}"
    raise UserError(f"{path} has the form of {form}; convert the data set by: {converter}{other}")


def whole_numbers(labels: Mapping[str, Any]) -> Labels:
    """Return labels as nnU-Net's LabelManager takes them: whole numbers, also where they are written as text.

    Raises
    ------
    ValueError
        One is something else, or negative, or beyond the label images that nnU-Net writes; or ``ignore`` is written
        in capitals, which nnU-Net takes for a class.
    """
    found: Labels = {}
    for name, value in labels.items():
        if value == []:
            raise ValueError(f"{shown(name)} has no labels")
        if name != "ignore" and name.lower() == "ignore":
            raise ValueError(f"{shown(name)} would be a class; what does not count is called 'ignore'")
        try:
            found[name] = [_whole_number(part) for part in value] if isinstance(value, list) else _whole_number(value)
        except ValueError as error:
            raise ValueError(f"{shown(name)} is {shown(value)}: {error}") from None
    return found


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("it is no whole number")
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise ValueError("it is no whole number") from None
    if not isinstance(value, str) and number != value:
        raise ValueError("it is no whole number")
    if not 0 <= number < 2**16:
        raise ValueError(f"it is no label from 0 to {2**16 - 1}")
    return number


def _check_labels(description: dict[str, Any], path: Path) -> None:
    # Imported here: nnU-Net takes seconds to import.
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    order = description.get("regions_class_order")
    owners: dict[tuple[int, ...], str] = {}
    for name, value in description["labels"].items():
        own = tuple(sorted(set(np.atleast_1d(value).tolist())))
        if (other := owners.setdefault(own, name)) != name:
            raise UserError(
                f"{path}: 'labels' gives {shown(other)} and {shown(name)} the same value {shown(value)}; give each a "
                f"value of its own, or leave one out"
            )
    try:
        labels = LabelManager(description["labels"], order)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{path} has wrong 'labels': {last_line(error)}") from error
    values = [*labels.all_labels, *([labels.ignore_label] if labels.has_ignore_label else [])]
    if values != list(range(len(values))) or len(values) < 2:
        raise UserError(
            f"{path}: 'labels' must be 0, 1, 2, ... without gaps, got {shown([int(v) for v in values])}; write them "
            f"so in dataset.json and in the label images, as `swin-umamba prepare folder imagesTr labelsTr DST` does"
        )
    if labels.has_regions and order is not None:
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
            f"name the regions in the order {one_line(', '.join(sorted_regions), 80)} and set 'regions_class_order' to "
            f"{right}"
        )
    raise UserError(
        f"{path}: 'regions_class_order' {list(order)} cannot paint the regions back, label {label} would become "
        f"{painted}; {advice}"
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
