"""Pretrained weights and other checkpoints: read without running code from them, and put into a network.

The functions are loaded on first use, so that who needs the error alone does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common.errors import UserError
from ..common.lazy_names import lazy_names

if TYPE_CHECKING:
    from .checkpoint_file import read_checkpoint
    from .loading import load_pretrained
    from .placeholder import Placeholder
    from .report import LoadReport


class CheckpointError(UserError, ValueError):
    """A file that cannot be read or does not fit the network; the message says which, why, and what to do."""


__all__ = ["CheckpointError", "LoadReport", "Placeholder", "load_pretrained", "read_checkpoint"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LoadReport": "report",
        "Placeholder": "placeholder",
        "load_pretrained": "loading",
        "read_checkpoint": "checkpoint_file",
    },
)
