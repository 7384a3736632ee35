"""What stands beside the weights in a checkpoint: numbers, text and containers of them, in sane amounts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from ..common.text import one_line
from . import CheckpointError
from .checkpoint_file import read_checkpoint
from .placeholder import describe

DEPTH, VALUES = 32, 500_000
"""Of containers in containers, and of all values. In a file of 3 kB, lists of one another can be 2^100 of them."""


def read_entries(
    path: str | os.PathLike[str],
    kinds: Mapping[str, type | tuple[type, ...]],
    parts: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Read entries of a training's checkpoint as plain data.

    Parameters
    ----------
    path
        See `swin_umamba.checkpoints.read_checkpoint`.
    kinds
        The entries that there have to be, with their types; a bool is no int here, and an int is a float.
    parts
        Of entries that are dicts, the keys that are wanted; those that are not there are ``None``.

    Raises
    ------
    CheckpointError
        The file cannot be read, lacks one, or holds one of another kind, or what `plain_data` refuses.
    """
    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{path} holds {describe(checkpoint)}, not the state of a training")
    entries = {}
    for key, kind in kinds.items():
        if key not in checkpoint:
            raise CheckpointError(f"{path} has no {key!r}, so it is not the state of this training")
        value = checkpoint[key]
        if key in parts and isinstance(value, dict):
            value = {name: value.get(name) for name in parts[key]}
        value = entries[key] = plain_data(value, f"{path}, in {key!r},")
        if not isinstance(float(value) if type(value) is int and kind is float else value, kind) or (
            isinstance(value, bool) and kind is not bool
        ):
            shown = repr(value) if isinstance(value, str | int | float | type(None)) else describe(value)
            raise CheckpointError(f"{path} has {one_line(shown, 40)} for its {key!r}")
    return entries


def plain_data(value: Any, what: str) -> Any:
    """Copy data as of a JSON file, and tensors in it; NumPy's numbers, text and arrays become Python's.

    Parameters
    ----------
    value
        ``None``, a bool, integer of 64 bits, float or text, an array or scalar of NumPy, a tensor, or dicts, lists and
        tuples of such.
    what
        It is, for messages: a file, and perhaps the part of it.

    Returns
    -------
    object
        Of plain dicts, lists and tuples, each of which holds none of those that hold it. Tensors are not copied.

    Raises
    ------
    CheckpointError
        There is something else in it; or it is deeper than `DEPTH`; or has more than `VALUES` values, where 64
        characters of text count as one; or a tensor claims more elements than its storage holds.
    """
    count = 0

    def counted(number: int) -> None:
        nonlocal count
        count += number
        if count > VALUES:
            raise CheckpointError(f"{what} holds more than {VALUES} values beside the weights")

    def copy(value: Any, depth: int) -> Any:
        counted(1)
        if depth > DEPTH:
            raise CheckpointError(f"{what} holds containers in containers, more than {DEPTH} deep")
        if isinstance(value, np.ndarray | np.generic):
            counted(value.size)
            value = value.tolist()
        if isinstance(value, str):
            counted(len(value) // 64)
            return str(value)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            if value.bit_length() > 64:
                raise CheckpointError(f"{what} holds an integer of {value.bit_length()} bits")
            return value
        if isinstance(value, dict):
            return {copy(_key(key), depth): copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            items = [copy(item, depth + 1) for item in value]
            return items if isinstance(value, list) else tuple(items)
        if isinstance(value, Tensor) and has_own_elements(value):
            return value
        what_it_is = "a tensor larger than its storage" if isinstance(value, Tensor) else describe(value)
        raise CheckpointError(f"{what} holds {what_it_is}, which has no place there")

    def _key(key: Any) -> Any:
        if not isinstance(key, str | int):
            raise CheckpointError(f"{what} holds a dict with {describe(key)} for a key")
        return key

    return copy(value, 0)


def has_own_elements(tensor: Tensor) -> bool:
    """Whether a tensor claims no more elements than its storage holds, so that it may be copied."""
    return tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes()
