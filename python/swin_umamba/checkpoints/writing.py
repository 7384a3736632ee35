"""Writing checkpoints of plain data: tensors, numbers, text and containers.

They can be read without running code, by `swin_umamba.checkpoints.read_checkpoint` and by
``torch.load(path, weights_only=True)``.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from ..common.files import replace_atomically
from .plain_data import plain_data


def write_checkpoint(path: str | os.PathLike[str], content: Any) -> None:
    """Write a checkpoint atomically; NumPy's numbers and arrays in it become Python's numbers and lists."""
    with replace_atomically(path) as file:
        torch.save(plain_data(content, str(path)), file)
