"""Swin-UMamba for medical image segmentation: networks, training with nnU-Net, evaluation.

The networks are loaded on first use, so that ``import swin_umamba`` and the command line start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .networks import SwinUMamba, SwinUMambaD, VMambaTiny

__all__ = ["SwinUMamba", "SwinUMambaD", "VMambaTiny"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import networks

        return getattr(networks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
