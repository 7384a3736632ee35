"""Text that comes from files, paths and other people's libraries, made fit to be shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

LONGEST_LINE = 2000
LONGEST_REASON = 160
"""Characters of what a library says of a file."""

# Controls, formats (which can turn the direction of all that follows), halves of surrogates, separators of lines.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def visible(text: str, *, newlines: bool = False) -> str:
    """Show what a terminal or a page would obey, such as colours or a new line, as Python writes it in a string.

    Parameters
    ----------
    text
        Anything. Of lines longer than `LONGEST_LINE` the middle is left out.
    newlines
        Keep line feeds, for text that has lines of its own.
    """
    lines = text.split("\n") if newlines else [text]
    return "\n".join(_visible_line(shortened(line, LONGEST_LINE)) for line in lines)


def shortened(text: str, limit: int) -> str:
    """At most ``limit`` characters, with " … " in the place of what is left out of the middle."""
    if len(text) <= limit:
        return text
    end = (limit - 3) // 3
    return f"{text[: limit - 3 - end]} … {text[len(text) - end :]}"


def one_line(text: str, limit: int = LONGEST_LINE) -> str:
    """All lines as one, visible and shortened."""
    # Twice: what is made visible may be longer.
    return shortened(visible(shortened(" ".join(text.split()), limit)), limit)


def distinct(names: Sequence[str]) -> list[str]:
    """Names, those that stand more than once with their place behind them, counted from 0."""
    return [name if names.count(name) == 1 else f"{name} ({index})" for index, name in enumerate(names)]


def short_name(text: str) -> str:
    """A name in a file, as of a tensor, in at most 80 characters of one line."""
    return one_line(text, 80)


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 epoch``, ``2 epochs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _visible_line(line: str) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(
        ascii(character)[1:-1] if unicodedata.category(character) in _HIDDEN else character for character in line
    )
