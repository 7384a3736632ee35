"""What a setting may be: kinds of values, read from the words of a command line or checked as they come from a file.

Every refusal is a `ValueError` that begins after the setting's name: ``must be between 1 and 100, got 0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Kind(Protocol):
    """Values of one type and range."""

    def parse(self, text: str) -> Any:
        """The value of one word; raise `ValueError` for a word that is none."""

    def check(self, value: Any) -> Any:
        """The value itself, an array as a tuple; raise `ValueError` for one of another type or out of range."""


@dataclass(frozen=True)
class Integer:
    """A whole number in ``[low, high]``, a multiple of ``divisor``."""

    low: int
    high: int
    divisor: int = 1

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


@dataclass(frozen=True)
class Number:
    """A number in ``(low, high]``, or ``low`` itself where ``closed``; NaN is refused."""

    low: float
    high: float
    closed: bool = False

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


@dataclass(frozen=True)
class Choice:
    """One of some names; ``noun`` is what they name."""

    values: tuple[str, ...]
    noun: str = "choice"

    def parse(self, text: str) -> str:
        return self.check(text)

    def check(self, value: Any) -> str:
        if value not in self.values:
            raise ValueError(f"must be one of {', '.join(self.values)}; there is no {self.noun} {value!r}")
        return value


@dataclass(frozen=True)
class IntegerOr:
    """A whole number, or one name in its place."""

    integer: Integer
    name: str

    def parse(self, text: str) -> int | str:
        return self._or_name(self.integer.parse, text)

    def check(self, value: Any) -> int | str:
        return self._or_name(self.integer.check, value)

    def _or_name(self, read: Any, value: Any) -> int | str:
        if value == self.name:
            return value
        try:
            return read(value)
        except ValueError as error:
            raise ValueError(f"{error}, or {self.name}") from None


@dataclass(frozen=True)
class Text:
    """Any text, such as a path."""

    def parse(self, text: str) -> str:
        return text

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be text, got {value!r}")
        return value


@dataclass(frozen=True)
class Flag:
    """Yes or no; on the command line the option itself says which."""

    def parse(self, text: str) -> bool:
        raise ValueError(f"takes no value, got {text!r}")

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, got {value!r}")
        return value


@dataclass(frozen=True)
class Several:
    """A fixed number of values of one kind; `parse` takes one of them."""

    item: Kind
    count: int

    def parse(self, text: str) -> Any:
        return self.item.parse(text)

    def check(self, value: Any) -> tuple:
        if not isinstance(value, (list, tuple)) or len(value) != self.count:
            raise ValueError(f"must be {self.count} values, got {value!r}")
        return tuple(self.item.check(part) for part in value)


def spell(value: Any, between: str = " ") -> str:
    """A value in words; ``between`` stands between those of an array."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return between.join(spell(part) for part in value)
    if isinstance(value, float) and float(short := f"{value:g}") == value:
        return short
    return str(value)
