"""Pretrained weights and other checkpoints: read without running code from them, and put into a network.

The names are loaded on first use, so that commands which need one of them do not wait for the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checkpoint_file import read_checkpoint
    from .errors import CheckpointError
    from .loading import load_pretrained
    from .placeholder import Placeholder
    from .report import LoadReport

_MODULES = {
    "CheckpointError": "errors",
    "LoadReport": "report",
    "Placeholder": "placeholder",
    "load_pretrained": "loading",
    "read_checkpoint": "checkpoint_file",
}

__all__ = ["CheckpointError", "LoadReport", "Placeholder", "load_pretrained", "read_checkpoint"]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
