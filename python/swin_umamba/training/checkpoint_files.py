"""Checkpoints of plain data: tensors, numbers, text and containers, which can be read without running code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import RunError
from ..files import replace_atomically


def write_checkpoint(path: str | os.PathLike[str], content: Any) -> None:
    """Write a checkpoint atomically; NumPy's numbers and arrays in it become Python's numbers and lists."""
    with replace_atomically(path) as file:
        torch.save(plain(content), file)


def read_checkpoint_of_run(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `write_checkpoint` wrote.

    Raises
    ------
    RunError
        The file is damaged, or holds more than plain data.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    # torch.load raises whatever the layer raises that the damage meets.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"cannot read the checkpoint {Path(path)}: {reason}") from error


def plain(value: Any) -> Any:
    """``value`` with Python's numbers, lists and text in the place of NumPy's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value
