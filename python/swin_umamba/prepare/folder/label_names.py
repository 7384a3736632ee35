"""What ``--labels`` says: names of labels, and the value, colour or masks of each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import UserError
from ...common.tables import read_table
from ...common.text import one_line

BACKGROUND, IGNORE = "background", "ignore"
MOST_LABELS = 255
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


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
        names.append(LabelName(reserved(name), value))
    return names


def reserved(name: str) -> str:
    """A name as it is, but ``Background`` and ``IGNORE`` in the letters by which they are no classes."""
    return name.lower() if name.lower() in (BACKGROUND, IGNORE) else name


def _read_table(path: Path) -> list[LabelName]:
    names = []
    for number, (line, row) in enumerate(read_table(path)):
        if len(row) == 2 and row[0] and (row[1].isdecimal() or _COLOUR.fullmatch(row[1])):
            names.append(LabelName(reserved(row[0]), row[1]))
        elif len(row) == 4 and row[0] and all(cell.isdecimal() and int(cell) < 256 for cell in row[1:]):
            names.append(LabelName(reserved(row[0]), "#{:02x}{:02x}{:02x}".format(*map(int, row[1:]))))
        elif number:  # the first may name the columns
            raise UserError(
                f"--labels: line {line} of {path} is {one_line(','.join(row), 80)!r}; wanted are lines of name "
                f"and value, or name, red, green and blue"
            )
    if not names:
        raise UserError(f"--labels: the table {path} names no label")
    return names


def number_labels(names: Iterable[str]) -> dict[str, int]:
    """Number the names from 1 in their order, without the background; to be ignored comes last, as nnU-Net wants it."""
    kept = sorted(dict.fromkeys(name for name in names if name != BACKGROUND), key=lambda name: name == IGNORE)
    if not [name for name in kept if name != IGNORE]:
        raise UserError("--labels names no class beside background and ignore; name one")
    if len(kept) > MOST_LABELS:
        raise UserError(f"--labels names {len(kept)} classes; {MOST_LABELS} are the most")
    return {name: label for label, name in enumerate(kept, start=1)}
