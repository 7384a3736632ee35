"""Swin-UMamba for medical image segmentation: networks, training with nnU-Net, evaluation.

The names are loaded on first use, so that ``import swin_umamba`` and the command line start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from . import former_names

if TYPE_CHECKING:
    from .checkpoints import load_pretrained
    from .networks import SwinUMamba, SwinUMambaD, VMambaTiny
    from .networks.build import build_model

former_names.install()

_MODULES = {
    "SwinUMamba": "networks",
    "SwinUMambaD": "networks",
    "VMambaTiny": "networks",
    "build_model": "networks.build",
    "load_pretrained": "checkpoints",
}

__all__ = ["SwinUMamba", "SwinUMambaD", "VMambaTiny", "build_model", "load_pretrained"]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
