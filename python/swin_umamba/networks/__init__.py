"""The networks of the paper: :class:`SwinUMamba`, :class:`SwinUMambaD` (Swin-UMamba†), their classifier :class:`VMambaTiny`."""

from .swin_umamba import SwinUMamba
from .swin_umamba_d import SwinUMambaD
from .vmamba_tiny import VMambaTiny

__all__ = ["SwinUMamba", "SwinUMambaD", "VMambaTiny"]
