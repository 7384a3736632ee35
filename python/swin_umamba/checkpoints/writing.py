"""Writing checkpoints of plain data: tensors, numbers, text and containers.

They can be read without running code, by `swin_umamba.checkpoints.read_checkpoint` and by
``torch.load(path, weights_only=True)``.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from ..common.files import replace_atomically


def write_checkpoint(path: str | os.PathLike[str], content: Any) -> None:
    """Write a checkpoint atomically; NumPy's numbers and arrays in it become Python's numbers and lists."""
    with replace_atomically(path) as file:
        torch.save(plain(content), file)


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
