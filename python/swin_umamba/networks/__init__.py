"""The networks: `SwinUMamba`, `SwinUMambaD` (Swin-UMamba†), and `VMambaTiny`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common.lazy_names import lazy_names

if TYPE_CHECKING:
    from .swin_umamba import SwinUMamba
    from .swin_umamba_d import SwinUMambaD
    from .vmamba_tiny import VMambaTiny

__all__ = ["SwinUMamba", "SwinUMambaD", "VMambaTiny"]

__getattr__, __dir__ = lazy_names(
    __name__, {"SwinUMamba": "swin_umamba", "SwinUMambaD": "swin_umamba_d", "VMambaTiny": "vmamba_tiny"}
)
