"""The networks: :class:`SwinUMamba`, :class:`SwinUMambaD` (Swin-UMamba†), and :class:`VMambaTiny`."""

from .swin_umamba import SwinUMamba
from .swin_umamba_d import SwinUMambaD
from .vmamba_tiny import VMambaTiny

__all__ = ["SwinUMamba", "SwinUMambaD", "VMambaTiny"]
