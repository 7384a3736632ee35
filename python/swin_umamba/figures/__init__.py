"""Pictures of a run, drawn with matplotlib: PNG files, and SVG for its page."""

from .curves import draw_loss_curve, plot_dice, plot_learning_rate, plot_losses, validation_name
from .distributions import plot_score_distributions, plot_scores_over_size
from .examples import Example, find_reader, read_example
from .inline_svg import inline_svg
from .overlays import draw_difference, draw_example, find_mistakes, write_overlay
from .palette import MISTAKES, class_colour, numbers_classes
from .panels import PanelRow, draw_panel
from .style import figure_style

__all__ = [
    "MISTAKES",
    "Example",
    "PanelRow",
    "class_colour",
    "draw_difference",
    "draw_example",
    "draw_loss_curve",
    "draw_panel",
    "figure_style",
    "find_mistakes",
    "find_reader",
    "inline_svg",
    "numbers_classes",
    "plot_dice",
    "plot_learning_rate",
    "plot_losses",
    "plot_score_distributions",
    "plot_scores_over_size",
    "read_example",
    "validation_name",
    "write_overlay",
]
