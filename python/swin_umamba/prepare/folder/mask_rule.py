"""The label of each value that masks hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...common.errors import UserError
from ...common.images.stored import StoredImage
from .label_names import BACKGROUND, LabelName, number_labels
from .mask_values import REPEAT, FoundValues, codes_of

MOST_VALUES = 64
"""More different values in masks are taken for shades or numbered objects, not for classes."""

_WHITE, _NEAR = 255, 9
_DARK = 64
"""Below it, colours may be numbers of classes that are written into the red of a pixel."""


@dataclass(frozen=True)
class MaskRule:
    """How the pixels of a mask become labels.

    Attributes
    ----------
    labels : dict
        Labels by name, without the background, in their order.
    values : dict
        From stored value, or number of a colour, to label; what is not in it is background.
    as_colours : bool
        Whether values are numbers of colours.
    threshold : int or None
        Stored values from this one on are 1, all others 0, before anything else.
    palette_as_colours : bool
        Whether a palette is read as its colours instead of its indices.
    """

    labels: dict[str, int]
    values: dict[int, int]
    as_colours: bool = False
    threshold: int | None = None
    palette_as_colours: bool = False


def labels_of(image: StoredImage, rule: MaskRule) -> np.ndarray:
    """Return the labels of a mask, uint8 (Z, H, W)."""
    codes, is_colour = codes_of(image, rule.threshold)
    if rule.as_colours and not is_colour:
        codes = codes.astype(np.int32) * REPEAT
    labels = np.zeros(codes.shape, dtype=np.uint8)
    for value, label in rule.values.items():
        labels[codes == value] = label
    return labels


def resolve_rule(
    found: FoundValues, names: Sequence[LabelName] | None, threshold: int | None, palette_as_colours: bool
) -> tuple[MaskRule, list[str]]:
    """Give every value that the masks hold its label, and say what was taken for what.

    Raises
    ------
    UserError
        There are too many values for classes, or ``--labels`` does not name them.
    """
    as_colours = bool(found.colours) or palette_as_colours
    if as_colours and (shade := max(found.grey, default=0)) > _WHITE:
        raise UserError(
            f"{found.grey[shade]} holds the value {shade}, no shade of 8 bits, where other masks hold colours; "
            f"store all with 8 bits a channel"
        )
    values = found.all(as_colours)
    if names is None and len(values) > MOST_VALUES:
        shown = ", ".join(_shown(value, as_colours) for value in sorted(values)[:4])
        raise UserError(
            f"the masks hold more than {MOST_VALUES} different values ({shown}, ...), such as {_last(values)}: shades "
            f"of grey at edges, or numbered objects, but no classes; --threshold N makes one class of all values from "
            f"N on"
        )
    if names is None:
        _want_sharp(values, as_colours)
        _want_one_white(found)
        labels, mapped = _unnamed(values, as_colours)
        notes = []
    else:
        labels, mapped = _named(values, names, as_colours)
        held = {label for value, label in mapped.items() if value in values}
        notes = [f"no mask holds {name}" for name, label in labels.items() if label not in held]
    if not any(value in values for value in mapped):
        raise UserError("all masks are empty: they hold background alone, from which nothing can be learned")
    return MaskRule(labels, mapped, as_colours, threshold, palette_as_colours), notes


def _want_sharp(values: Mapping[int, Path], as_colours: bool) -> None:
    """Refuse masks whose edges were blurred or packed as JPEG: nobody chooses colours, or 255 and others, so close."""
    if as_colours:
        return _want_sharp_colours(values)
    soft = [value for value in values if _WHITE - _NEAR <= value < _WHITE]
    if soft and _WHITE in values:
        raise UserError(
            f"masks hold 255 and values just below, such as {soft[0]} in {values[soft[0]]}, as of soft edges or JPEG; "
            f"--threshold 128 makes one class of them, or name all values by --labels"
        )


def _want_sharp_colours(values: Mapping[int, Path]) -> None:
    channels = np.array([[value >> 16, value >> 8 & 255, value & 255] for value in values], dtype=np.int16)
    codes = list(values)
    for code, channel in zip(codes, channels, strict=True):
        near = (np.abs(channels - channel).max(axis=1) <= _NEAR) & (channels.max(axis=1) >= _DARK)
        for other in np.flatnonzero(near):
            if codes[other] != code:
                raise UserError(
                    f"masks hold colours as close as {_shown(code, True)} and {_shown(codes[other], True)}, such as "
                    f"{values[codes[other]]}: soft edges or JPEG; store them without, or name all colours by --labels"
                )


def _want_one_white(found: FoundValues) -> None:
    """Refuse masks of 0 and 1 beside masks of 0 and 255, which are most likely of one class."""
    white = found.grey.keys() - {0}
    if white == {1, _WHITE} and not found.colours and found.most_together == 1:
        raise UserError(
            f"some masks hold 1, such as {found.grey[1]}, others 255, such as {found.grey[_WHITE]}, and none holds "
            f"both; --threshold 1 makes one class of them, --labels NAME=1,OTHER=255 two"
        )


def _unnamed(values: Mapping[int, Path], as_colours: bool) -> tuple[dict[str, int], dict[int, int]]:
    foreground = sorted(value for value in values if value)
    if len(foreground) == 1:
        return {"foreground": 1}, {foreground[0]: 1}
    labels = {
        _shown(value, as_colours) if as_colours else f"label {value}": label
        for label, value in enumerate(foreground, start=1)
    }
    return labels, dict(zip(foreground, labels.values(), strict=True))


def _named(
    values: Mapping[int, Path], names: Sequence[LabelName], as_colours: bool
) -> tuple[dict[str, int], dict[int, int]]:
    numbers: dict[int, str] = {}
    for one in names:
        if one.is_colour != as_colours:
            wanted = "colours, #rrggbb" if as_colours else "whole numbers"
            raise UserError(f"--labels {one.name}={one.value}: the masks hold {wanted}: {_several(values, as_colours)}")
        if not one.is_colour and not one.value.isdecimal():
            raise UserError(f"--labels {one.name}={one.value}: the value is no whole number and no colour #rrggbb")
        number = int(one.value[1:], 16) if one.is_colour else int(one.value)
        if numbers.setdefault(number, one.name) != one.name:
            raise UserError(f"--labels names the value {one.value} twice, {numbers[number]} and {one.name}")
    if BACKGROUND not in numbers.values():
        numbers.setdefault(0, BACKGROUND)
    labels = number_labels(numbers.values())
    if unknown := sorted(set(values) - set(numbers)):
        raise UserError(
            f"masks hold {_several(unknown, as_colours)}, which --labels does not name, such as {values[unknown[0]]}; "
            f"name it, as background=... or ignore=... too"
        )
    return labels, {value: labels[name] for value, name in numbers.items() if name != BACKGROUND}


def _several(values: Iterable[int], as_colours: bool) -> str:
    shown = [_shown(value, as_colours) for value in sorted(values)]
    return "the value" + "s" * (len(shown) > 1) + " " + ", ".join(shown[:5]) + ", ..." * (len(shown) > 5)


def _shown(value: int, as_colours: bool) -> str:
    return f"#{value:06x}" if as_colours else str(value)


def _last(values: Mapping[int, Path]) -> Path:
    return list(values.values())[-1]
