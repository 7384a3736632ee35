"""What stands in a checkpoint's content for the classes and objects that are not rebuilt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GlobalName:
    """The name of a class or function in a pickle."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def describe(value: Any) -> str:
    """Name a value of a pickle in few words, without a look into it: a list can hold itself a billion times."""
    if isinstance(value, GlobalName | str):
        return str(value)
    if isinstance(value, Placeholder):
        return value.class_name
    return f"an object of the type {type(value).__name__}"


class Placeholder:
    """Stands for an object of a class that is not rebuilt; keeps what the pickle says of it, inert.

    Attributes
    ----------
    class_name : str
        Of the class, or of the function that would have made the object.
    arguments : tuple
        What the class or function would have been called with.
    mapping : dict
        Its items, if it is some kind of dict.
    sequence : list
        Its elements, if it is some kind of list or set.
    state : object
        Its attributes, usually a dict.
    """

    def __init__(self, class_name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.class_name = class_name
        self.arguments = arguments
        self.mapping: dict[Any, Any] = {}
        self.sequence: list[Any] = []
        self.state: Any = None

    def __repr__(self) -> str:
        return f"<{self.class_name}, not rebuilt>"
