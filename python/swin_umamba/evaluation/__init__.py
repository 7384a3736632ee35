"""The paper's metrics, and their evaluation over folders of label images."""

from __future__ import annotations

from .metrics import dice_coefficient, normalized_surface_distance

__all__ = ["dice_coefficient", "normalized_surface_distance"]
