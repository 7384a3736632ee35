"""What labels are in the words of a coding scheme such as SNOMED CT: the key ``segment_codes``, or a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import UserError, last_line
from ..common.tables import read_named_table
from ..common.typed_json import from_json, shown

KEY = "segment_codes"
"""In ``dataset.json``."""

_COLUMNS = ("scheme", "value", "meaning")
_LONGEST = {"scheme": 16, "value": 16, "meaning": 64}
"""Characters that DICOM has room for (SH and LO)."""


@dataclass(frozen=True)
class Code:
    """A word of a scheme, such as SCT, 10200004, Liver.

    Attributes
    ----------
    scheme, value, meaning : str
        As DICOM has them: CodingSchemeDesignator, CodeValue, CodeMeaning.
    """

    scheme: str
    value: str
    meaning: str

    def __post_init__(self) -> None:
        for name, limit in _LONGEST.items():
            text = getattr(self, name).strip()
            if not text or len(text) > limit or "\\" in text or not text.isprintable():
                raise ValueError(f"{name} is {shown(text)}, which is no text of 1 to {limit} characters without \\")


@dataclass(frozen=True)
class SegmentCodes:
    """What a label is, and of what category; ``None`` for an anatomical structure."""

    type: Code
    category: Code | None = None


def segment_codes(description: Mapping[str, Any], where: object) -> dict[str, SegmentCodes]:
    """Return the codes of a ``dataset.json`` by label; none where it has none.

    Raises
    ------
    UserError
        They have another form; ``where`` names the file.
    """
    try:
        codes: dict[str, SegmentCodes] = from_json(dict[str, SegmentCodes], description.get(KEY) or {}, repr(KEY))
    except ValueError as error:
        raise UserError(
            f'{where}: {last_line(error)}; give such as {{"liver": {{"type": {{"scheme": "SCT", "value": "10200004", '
            f'"meaning": "Liver"}}}}}}, or leave {KEY!r} out'
        ) from error
    return codes


def read_code_table(path: Path) -> dict[str, SegmentCodes]:
    """Read a table ``.csv`` with the columns label, scheme, value, meaning and, if wanted, ``category_`` of the three.

    Raises
    ------
    UserError
        It cannot be read, or has other columns, rows with more cells, no code for a label, or two.
    """
    columns, rows = read_named_table(path)
    for name in ("label", *_COLUMNS):
        if columns.count(name) != 1:
            raise UserError(
                f"--segment-codes: the table {path} has {'two columns' if name in columns else 'no column'} {name}; "
                f"give label, scheme, value and meaning in the first line, each once"
            )
    codes: dict[str, SegmentCodes] = {}
    for line, row in rows:
        cells = dict(zip(columns, row + [""] * len(columns), strict=False))
        label = cells["label"]
        where = f"--segment-codes: line {line} of {path}"
        if not label or label in codes:
            raise UserError(f"{where} {'names ' + label + ' again' if label else 'names no label'}; give one line each")
        try:
            category = [cells.get(f"category_{name}", "") for name in _COLUMNS]
            codes[label] = SegmentCodes(
                Code(*(cells[name] for name in _COLUMNS)), Code(*category) if any(category) else None
            )
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error
    if not codes:
        raise UserError(f"--segment-codes: the table {path} holds no line of a label")
    return codes
