"""What a setting may be: kinds of values, read from the words of a command line or checked as they come from a file.

Every refusal is a `ValueError` that begins after the setting's name: ``must be between 1 and 100, got 0``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any


class Text:
    """Any text, such as a path; the base of the other kinds."""

    def parse(self, text: str) -> Any:
        """The value of one word; raise `ValueError` for a word that is none."""
        return self.check(text)

    def check(self, value: Any) -> Any:
        """The value itself, an array as a tuple; raise `ValueError` for one of another type or out of range."""
        if not isinstance(value, str):
            raise ValueError(f"must be text, got {value!r}")
        return value


class Integer(Text):
    """A whole number in ``[low, high]``, a multiple of ``divisor``."""

    def __init__(self, low: int, high: int, divisor: int = 1) -> None:
        self.low, self.high, self.divisor = low, high, divisor

    def parse(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"must be a whole number, got {text!r}") from None
        return self.check(value)

    def check(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"must be a whole number, got {value!r}")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be between {self.low} and {self.high}, got {value}")
        if value % self.divisor:
            raise ValueError(f"must be {'even' if self.divisor == 2 else f'a multiple of {self.divisor}'}, got {value}")
        return value


class Number(Text):
    """A number in ``(low, high]``, or ``low`` itself where ``closed``; NaN is refused."""

    def __init__(self, low: float, high: float, closed: bool = False) -> None:
        self.low, self.high, self.closed = low, high, closed

    def parse(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"must be a number, got {text!r}") from None
        return self.check(value)

    def check(self, value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ValueError(f"must be a number, got {value!r}")
        if not (self.low < value <= self.high or (self.closed and value == self.low)):
            ends = f"above {self.low:g} and at most {self.high:g}" + (f", or {self.low:g}" if self.closed else "")
            raise ValueError(f"must be {ends}, got {spell(value)}")
        return value


class Choice(Text):
    """One of some names; ``noun`` is what they name."""

    def __init__(self, values: tuple[str, ...], noun: str = "choice") -> None:
        self.values, self.noun = values, noun

    def check(self, value: Any) -> str:
        if value not in self.values:
            raise ValueError(f"must be one of {', '.join(self.values)}; there is no {self.noun} {value!r}")
        return str(value)


class IntegerOr(Text):
    """A whole number, or ``name`` in its place."""

    def __init__(self, integer: Integer, name: str) -> None:
        self.integer, self.name = integer, name

    def parse(self, text: str) -> int | str:
        return self._read(self.integer.parse, text)

    def check(self, value: Any) -> int | str:
        return self._read(self.integer.check, value)

    def _read(self, read: Callable[[Any], int], value: Any) -> int | str:
        try:
            return value if value == self.name else read(value)
        except ValueError as error:
            raise ValueError(f"{error}, or {self.name}") from None


class Flag(Text):
    """Yes or no; on the command line the option itself says which."""

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, got {value!r}")
        return value


class Several(Text):
    """A fixed number of values of one kind, each of them a word of its own."""

    def __init__(self, item: Text, count: int) -> None:
        self.item, self.count = item, count

    def check(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or len(value) != self.count:
            raise ValueError(f"must be {self.count} values, got {value!r}")
        return tuple(self.item.check(part) for part in value)


class Duration(Text):
    """``H:MM:SS`` or ``D-HH:MM:SS``, as Slurm writes it, in seconds."""

    def parse(self, text: str) -> float:
        match = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
        if match is None:
            raise ValueError(f"must be H:MM:SS or D-HH:MM:SS, got {text!r}")
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return self.check(float(((24 * days + hours) * 60 + minutes) * 60 + seconds))

    def check(self, value: float) -> float:
        if not (isinstance(value, float) and math.isfinite(value) and value > 0):
            raise ValueError(f"must be longer than 0:00:00, got {value!r}")
        return value


def spell(value: Any, between: str = " ") -> str:
    """A value in words; ``between`` stands between those of an array."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return between.join(spell(part) for part in value)
    if isinstance(value, float) and float(short := f"{value:g}") == value:
        return short
    return str(value)
