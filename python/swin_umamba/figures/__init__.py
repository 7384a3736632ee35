"""Pictures of a run, drawn with matplotlib and written as PNG."""

from .curves import draw_loss_curve
from .panels import PanelRow, draw_panel

__all__ = ["PanelRow", "draw_loss_curve", "draw_panel"]
