"""The look that all charts share, and its colours."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib

INK, GRID, TRAINING, VALIDATION = "#1c2330", "#cdd3dc", "#1f5fa8", "#c2490f"

# The same colours on a page that may be dark: custom properties of its style sheet.
CSS_VARIABLES = {INK: "--ink", GRID: "--grid", TRAINING: "--training", VALIDATION: "--validation"}


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Make, lay out and save figures inside this context."""
    settings: dict[Any, Any] = {  # of matplotlib, which lists the names in a type
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "axes.titlecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": GRID,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        # Names of classes and cases are text; a dollar sign in them starts no formula.
        "text.parse_math": False,
        # Text of an SVG stays text: it can be searched, and the browser finds the glyphs of any script.
        "svg.fonttype": "none",
        "font.sans-serif": ["DejaVu Sans"],
        # Identifiers in an SVG are otherwise random.
        "svg.hashsalt": "swin-umamba",
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        # nnU-Net's figure of a training leaves seaborn's settings behind, with fonts 2.5 times as large.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
