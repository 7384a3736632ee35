"""Tables that users write: ``.csv`` divided by commas, semicolons or tabs."""

from __future__ import annotations

import csv
from pathlib import Path

from .errors import UserError
from .text import one_line

Rows = list[tuple[int, list[str]]]
"""The number of the line that each ends in, and its cells without spaces around them."""


def read_table(path: Path) -> Rows:
    """Read the rows of a table that are not empty.

    Raises
    ------
    UserError
        It cannot be read.
    """
    try:
        # Spreadsheets write a byte-order mark, and semicolons where the comma is the decimal point.
        with open(path.expanduser(), newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(",;\t", key=head.count))
            read = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the table {path}: {one_line(str(error), 160)}") from error
    return [(line, row) for line, row in read if any(row)]


def read_named_table(path: Path) -> tuple[list[str], Rows]:
    """Read a table whose first row names its columns, and the rows below it, none longer than that.

    Raises
    ------
    UserError
        It cannot be read, or a row has more cells than there are columns.
    """
    rows = read_table(path)
    names = rows[0][1] if rows else []
    for line, row in rows[1:]:
        if any(row[len(names) :]):
            # As of a name with a comma, of which what is behind it would be cut off.
            raise UserError(
                f"line {line} of {path} has more cells than columns, {one_line(', '.join(row), 80)}; put cells that "
                f"hold the divider in double quotes"
            )
    return names, rows[1:]
