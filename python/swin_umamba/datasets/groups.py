"""Groups of cases, as of one patient or one device, that must not be divided between training and test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import UserError
from ..common.images.formats import ENDINGS, JPEG_ENDINGS, image_ending
from ..common.tables import read_named_table
from ..common.text import one_line

_TABLE = re.compile(r"(.+\.(?:csv|tsv)):([^:]+)", re.IGNORECASE)


@dataclass(frozen=True)
class GroupRule:
    """How the group of a case is found: in a column of a table, or by a regular expression.

    Attributes
    ----------
    text : str
        As the user wrote it.
    by_table : dict or None
        From case to group.
    pattern : re.Pattern or None
        Finds the group in the case's name, where there is no table.
    """

    text: str
    by_table: dict[str, str] | None = None
    pattern: re.Pattern[str] | None = None


def parse_group_rule(text: str) -> GroupRule:
    """Read what ``--group-by`` names.

    Parameters
    ----------
    text : str
        ``TABLE.csv:COLUMN``, of a table with a row of names and the case (or its file) in the first column, divided
        by commas, semicolons or tabs; or a regular expression, of which the first group, or else the whole match,
        is the group.

    Raises
    ------
    UserError
        The table cannot be read or has no such column, or the expression is none.
    """
    if table := _TABLE.fullmatch(text):
        return GroupRule(text, by_table=_read_column(Path(table[1]).expanduser(), table[2]))
    try:
        return GroupRule(text, pattern=re.compile(text))
    except re.error as error:
        raise UserError(
            f"--group-by {one_line(text, 80)} is neither TABLE.csv:COLUMN nor a regular expression ({error})"
        ) from None


def groups_of(cases: Iterable[str], rule: GroupRule) -> dict[str, str]:
    """Return the group of each case, in the order of the cases.

    Raises
    ------
    UserError
        The rule gives no group for some cases.
    """
    groups = {case: _group_of(case, rule) for case in cases}
    if lost := [case for case, group in groups.items() if not group]:
        what = "has no row or no value for" if rule.pattern is None else "does not match"
        raise UserError(
            f"--group-by {one_line(rule.text, 80)} {what} {len(lost)} of {len(groups)} cases, such as "
            f"{one_line(lost[0], 80)}; every case needs a group"
        )
    return {case: group for case, group in groups.items() if group}


def _group_of(case: str, rule: GroupRule) -> str | None:
    if rule.pattern is None:
        return (rule.by_table or {}).get(case)
    match = rule.pattern.search(case)
    return match and match[1 if rule.pattern.groups else 0]


def _read_column(path: Path, column: str) -> dict[str, str]:
    columns, rows = read_named_table(path)
    first, *names = columns or [""]
    if column not in names:
        raise UserError(
            f"{path} has no column {one_line(column, 40)} beside {one_line(first, 40) or 'the first'}, which names the "
            f"cases; it has {one_line(', '.join(names), 200) or 'none'}"
        )
    if names.count(column) > 1:
        raise UserError(f"{path} has {names.count(column)} columns {one_line(column, 40)}; leave one of them out")
    where = names.index(column) + 1
    groups: dict[str, str] = {}
    for _, row in rows:
        if len(row) <= where or not row[where]:
            continue
        case, group = _without_ending(row[0]), row[where]
        if groups.setdefault(case, group) != group:
            raise UserError(
                f"{path} names the case {one_line(case, 80)} in two groups, {one_line(groups[case], 40)} and "
                f"{one_line(group, 40)}; give it one"
            )
    return groups


def _without_ending(name: str) -> str:
    ending = image_ending(Path(name), ENDINGS + JPEG_ENDINGS)
    return name[: -len(ending)] if ending else name
