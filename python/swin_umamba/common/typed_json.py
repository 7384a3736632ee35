"""Dataclasses to JSON, and JSON to dataclasses by the types of their fields.

What a file holds is declared once, as a dataclass. Its fields are text, numbers, truth values, paths, tuples, mappings
from text, other dataclasses, and unions of these.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import json
import math
import re
import reprlib
import stat
import types
from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .text import one_line

T = TypeVar("T")

# Larger ones are no measurements, and overflow in what is computed from them.
_LARGEST_INT, _LARGEST_FLOAT = 2**53, 3.4e38
_LARGEST_FILE = 2**28
_DEEPEST = 32
_TOO_DEEP = "its arrays or objects lie too deep in each other"
_WORDS = {
    str: "printable text",
    bool: "true or false",
    int: f"a whole number of at most {_LARGEST_INT}",
    float: f"a finite number of at most {_LARGEST_FLOAT}",
    Path: "a path",
}
# What an XML document may hold, as the charts of a page are, and UTF-8 can write.
_TEXT = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HALVES = re.compile("[\ud800-\udfff]")
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxlong = 60


class Sparse:
    """A dataclass of which what is ``None`` is not written; others write it as null."""


def as_json(value: Any) -> Any:
    """A dataclass, and all inside it, as objects, arrays and values of JSON."""
    if is_dataclass(value):
        parts = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: as_json(part) for name, part in parts if part is not None or not isinstance(value, Sparse)}
    if isinstance(value, Mapping):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def load_json(path: Path, *, with_nan: bool = False) -> Any:
    """Read a file of JSON that can be written again: of sane depth and size, its text and numbers such as JSON has.

    Parameters
    ----------
    path
        A file in UTF-8.
    with_nan
        Take NaN and infinite numbers, which are no JSON; nnU-Net writes them into plans.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It holds something else. The message is one line.
    """
    content = _parsed(path)
    _check_sane(content, with_nan, 0)
    return content


def _parsed(path: Path) -> Any:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file")
    if status.st_size > _LARGEST_FILE:
        raise ValueError(f"it has more than {_LARGEST_FILE >> 20} MiB")
    content = path.read_bytes()
    if content.startswith(_MARKS):
        raise ValueError("it begins with a mark of the order of bytes; save it as UTF-8 without one (no BOM)")
    try:
        return json.loads(content.decode(), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text, from byte {error.start} on; save it as UTF-8") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two values with one key, one would be lost without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"it has the key {shown(doubled)} twice in one object")
    return found


def _check_sane(value: Any, with_nan: bool, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, str) and _HALVES.search(value):
        raise ValueError(f"it holds the text {shown(value)}, which is half a character")
    if isinstance(value, int) and value.bit_length() > 64:
        raise ValueError(f"it holds an integer of {value.bit_length()} bits")
    if isinstance(value, float) and not with_nan and not math.isfinite(value):
        raise ValueError(f"it holds the number {value}")
    if isinstance(value, dict):
        for key in value:
            _check_sane(key, with_nan, depth)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_sane(part, with_nan, depth + 1)


def read_json(kind: type[T], path: Path) -> T:
    """Read a file by `from_json`; raise `OSError` if that cannot be done, `ValueError` if it holds something else."""
    value: T = from_json(kind, _parsed(path))
    return value


def shown(value: Any) -> str:
    """A value of a file in short, for messages."""
    return one_line(_SHOWN.repr(value), 60)


def from_json(kind: Any, value: Any, where: str = "") -> Any:
    """Check what `json.loads` gave against a type, and make an instance of it.

    Parameters
    ----------
    kind
        What is wanted, usually a dataclass. Keys that it has no field for are passed over; a field whose key is missing
        has its default, or ``None`` where its type allows that.
    value
        What there is.
    where
        The place of the value in the file, for the message.

    Raises
    ------
    ValueError
        The value is something else. The message is one line: the key, the value seen, and what is wanted. What
        ``__post_init__`` of a dataclass raises begins with the name of a field, and gets the place before it.
    """
    of_union = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if value is None and types.NoneType in of_union:
        return None
    arms = [arm for arm in of_union if arm is not types.NoneType]
    if len(arms) == 1:
        return _of_one_type(arms[0], value, where)
    for arm in arms:
        with contextlib.suppress(ValueError):
            return _of_one_type(arm, value, where)
    raise _refusal(where, value, " or ".join(_WORDS[arm] for arm in arms))


def _of_one_type(kind: Any, value: Any, where: str) -> Any:
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if is_dataclass(kind) or origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _refusal(where, value, "an object")
        if is_dataclass(kind):
            return _instance(kind, value, where)
        keys = [from_json(parts[0], key, f"a key of {where}") for key in value]
        return {key: from_json(parts[1], value[key], f"{where}[{shown(key)}]") for key in keys}
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _refusal(where, value, "an array")
        kinds = parts if parts[-1] is not Ellipsis else parts[:1] * len(value)
        if len(value) != len(kinds):
            raise _refusal(where, value, f"an array of {len(kinds)}")
        places = enumerate(zip(kinds, value, strict=True))
        return tuple(from_json(kind, part, f"{where}[{place}]") for place, (kind, part) in places)
    if not _is(kind, value):
        raise _refusal(where, value, _WORDS[kind])
    return kind(value)


def _is(kind: type, value: Any) -> bool:
    if kind in (str, Path):
        return isinstance(value, str) and bool(_TEXT.fullmatch(value))
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and abs(value) <= _LARGEST_INT
    return isinstance(value, (int, float)) and abs(value) <= _LARGEST_FLOAT


def _instance(kind: Any, value: dict[str, Any], where: str) -> Any:
    known = {
        field.name: from_json(_types(kind)[field.name], value.get(field.name), f"{where}.{field.name}".lstrip("."))
        for field in fields(kind)
        if field.name in value or not _has_default(field)
    }
    try:
        return kind(**known)
    except ValueError as error:
        raise ValueError(f"{where}.{error}".lstrip(".")) from None


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _refusal(where: str, value: Any, wanted: str) -> ValueError:
    return ValueError(f"{where or 'it'} is {shown(value)}, not {wanted}")
