"""What the pixels of a mask are: the values of all files, and the label of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...common.errors import UserError
from ...common.images.formats import JPEG_ENDINGS, LOSSY, image_ending
from ...common.images.reading import read_stored
from ...common.images.stored import ImageFault, StoredImage, as_labels
from ...common.tables import read_table
from ...common.text import one_line

MOST_VALUES = 64
"""More different values in masks are taken for shades or numbered objects, not for classes."""

_MOST_LABELS = 255
_WHITE, _NEAR = 255, 9
_DARK = 64
"""Below it, colours may be numbers of classes that are written into the red of a pixel."""

BACKGROUND, IGNORE = "background", "ignore"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_REPEAT = 0x010101
"""By which a shade of grey becomes the number of its colour."""


@dataclass(frozen=True)
class LabelName:
    """A line of ``--labels``: the value is a number, ``#rrggbb``, or what tells the masks of a class apart."""

    name: str
    value: str

    @property
    def is_colour(self) -> bool:
        return _COLOUR.fullmatch(self.value) is not None


def parse_label_names(text: str) -> list[LabelName]:
    """Read ``--labels``: ``NAME=VALUE,NAME=VALUE``, or a table ``.csv`` of name and value or name, red, green, blue.

    Raises
    ------
    UserError
        It is neither.
    """
    if text.lower().endswith((".csv", ".tsv", ".txt")):
        return _read_table(Path(text))
    names = []
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.rpartition("="))
        if not (name and equals and value):
            raise UserError(
                f"--labels: {one_line(part, 80)!r} is not NAME=VALUE; write such as --labels core=2,rim=#ff0000, or "
                f"name a table .csv"
            )
        names.append(LabelName(_reserved(name), value))
    return names


def _reserved(name: str) -> str:
    """A name as it is, but ``Background`` and ``IGNORE`` in the letters by which they are no classes."""
    return name.lower() if name.lower() in (BACKGROUND, IGNORE) else name


def _read_table(path: Path) -> list[LabelName]:
    names = []
    for number, (line, row) in enumerate(read_table(path)):
        if len(row) == 2 and row[0] and (row[1].isdecimal() or _COLOUR.fullmatch(row[1])):
            names.append(LabelName(_reserved(row[0]), row[1]))
        elif len(row) == 4 and row[0] and all(cell.isdecimal() and int(cell) < 256 for cell in row[1:]):
            names.append(LabelName(_reserved(row[0]), "#{:02x}{:02x}{:02x}".format(*map(int, row[1:]))))
        elif number:  # the first may name the columns
            raise UserError(
                f"--labels: line {line} of {path} is {one_line(','.join(row), 80)!r}; wanted are lines of name "
                f"and value, or name, red, green and blue"
            )
    if not names:
        raise UserError(f"--labels: the table {path} names no label")
    return names


@dataclass
class FoundValues:
    """The values in all masks, with a file that has each.

    Attributes
    ----------
    grey, colours : dict
        From value, or number of a colour (``0xrrggbb``), to a file that has it; some more than labels of 8 bits alone.
    most_together : int
        The largest number of values beside 0 in one file.
    """

    grey: dict[int, Path] = field(default_factory=dict)
    colours: dict[int, Path] = field(default_factory=dict)
    most_together: int = 0

    def add(self, codes: np.ndarray, is_colour: bool, path: Path) -> None:
        self.most_together = max(self.most_together, int(np.count_nonzero(codes)))
        known = self.colours if is_colour else self.grey
        for value in codes.tolist():
            if len(known) <= _MOST_LABELS + 1:
                known.setdefault(value, path)

    def all(self, as_colours: bool) -> dict[int, Path]:
        """Values of all files as shades or, where one has colours, as colours."""
        if not as_colours:
            return self.grey
        return {**{value * _REPEAT: path for value, path in self.grey.items()}, **self.colours}


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


def read_mask(path: Path, *, threshold: int | None = None, palette_as_colours: bool = False) -> StoredImage:
    """Read a mask of one channel or of colours.

    Raises
    ------
    ImageFault
        It is none, or its pixels are partly transparent.
    """
    lossy = image_ending(path, JPEG_ENDINGS) is not None
    if lossy and threshold is None:
        raise ImageFault(f"{LOSSY}; or say by --threshold 128 that values from 128 on are one class")
    image = read_stored(path, labels=not (lossy or palette_as_colours))
    return opaque(image)


def opaque(image: StoredImage) -> StoredImage:
    """Return an image without its channel of opacity.

    Raises
    ------
    ImageFault
        Some pixels are transparent.
    """
    if len(image.values) not in (2, 4) or image.n_axes != 2 or image.white is None:
        return image
    if (image.values[-1] != image.white).any():
        raise ImageFault("it has pixels that are partly transparent; store it without transparency")
    return StoredImage(image.values[:-1], 2, image.spacing, image.affines, image.white, image.header)


def codes_of(image: StoredImage, threshold: int | None = None) -> tuple[np.ndarray, bool]:
    """Return the stored values of a mask, integer (Z, H, W), and whether they are numbers of colours.

    Raises
    ------
    ImageFault
        They are no labels.
    """
    values = image.values
    is_colour = False
    if len(values) == 3 and image.n_axes == 2:
        if (values[0] == values[1]).all() and (values[0] == values[2]).all():
            values = values[:1]
        else:
            is_colour = True
    elif len(values) != 1:
        raise ImageFault(f"it has {len(values)} channels; a mask has one, or the three of colours")
    if threshold is not None:
        return (values.max(axis=0) >= threshold).astype(np.uint8), False
    if is_colour:
        if values.dtype != np.uint8:
            raise ImageFault("it has colours of more than 8 bits; store it with 8 bits a channel")
        red, green, blue = values.astype(np.int32)
        return red << 16 | green << 8 | blue, True
    return as_labels(values[0]), False


def unique_values(codes: np.ndarray) -> np.ndarray:
    """Return the different values, sorted; those of 8 bits are counted, which is faster than sorting them."""
    if codes.dtype == np.uint8:
        return np.flatnonzero(np.bincount(codes.ravel(), minlength=256))
    return np.unique(codes)


def labels_of(image: StoredImage, rule: MaskRule) -> np.ndarray:
    """Return the labels of a mask, uint8 (Z, H, W)."""
    codes, is_colour = codes_of(image, rule.threshold)
    if rule.as_colours and not is_colour:
        codes = codes.astype(np.int32) * _REPEAT
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


def number_labels(names: Iterable[str]) -> dict[str, int]:
    """Number the names from 1 in their order, without the background; to be ignored comes last, as nnU-Net wants it."""
    kept = sorted(dict.fromkeys(name for name in names if name != BACKGROUND), key=lambda name: name == IGNORE)
    if not [name for name in kept if name != IGNORE]:
        raise UserError("--labels names no class beside background and ignore; name one")
    if len(kept) > _MOST_LABELS:
        raise UserError(f"--labels names {len(kept)} classes; {_MOST_LABELS} are the most")
    return {name: label for label, name in enumerate(kept, start=1)}


def _several(values: Iterable[int], as_colours: bool) -> str:
    shown = [_shown(value, as_colours) for value in sorted(values)]
    return "the value" + "s" * (len(shown) > 1) + " " + ", ".join(shown[:5]) + ", ..." * (len(shown) > 5)


def _shown(value: int, as_colours: bool) -> str:
    return f"#{value:06x}" if as_colours else str(value)


def _last(values: Mapping[int, Path]) -> Path:
    return list(values.values())[-1]
