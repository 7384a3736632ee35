"""Swin-UMamba for medical image segmentation: networks, training with nnU-Net, evaluation."""

from __future__ import annotations

from . import former_names
from .common.lazy_names import lazy_names

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from .checkpoints import load_pretrained
    from .exporting.hub_model import HubModel
    from .networks import SwinUMamba, SwinUMambaD, VMambaTiny
    from .networks.build import build_model

__all__ = ["HubModel", "SwinUMamba", "SwinUMambaD", "VMambaTiny", "build_model", "load_pretrained"]

former_names.install()

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "HubModel": "exporting.hub_model",
        "SwinUMamba": "networks",
        "SwinUMambaD": "networks",
        "VMambaTiny": "networks",
        "build_model": "networks.build",
        "load_pretrained": "checkpoints",
    },
)
