"""The networks of the paper: :class:`SwinUMamba` and :class:`SwinUMambaD` (Swin-UMamba†)."""

from .swin_umamba import SwinUMamba
from .swin_umamba_d import SwinUMambaD

__all__ = ["SwinUMamba", "SwinUMambaD"]
