"""How a score is distributed over the cases, class by class."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .palette import class_colour, numbers_classes
from .style import INK, TRAINING, VALIDATION

MOST_POINTS = 200
FEWEST_FOR_QUARTILES = 5
NAME_WIDTH, NAME_LINES = 18, 2


def plot_score_distributions(axes: Axes, scores: dict[str, list[float]], label: str, top: float = 1.0) -> None:
    """Plot one row for each class: a point for each case, quartiles, median and mean, on an axis from 0 to ``top``.

    With more than 200 cases the points give way to the outline of their density; with fewer than five there
    are no quartiles.

    Parameters
    ----------
    axes
        Where to plot.
    scores
        The score of each case, in [0, top], by class.
    label
        Name of the score.
    top
        Largest value of the axis.
    """
    rng = np.random.default_rng(0)
    for row, values in enumerate(map(np.array, scores.values())):
        if len(values) > MOST_POINTS:
            bodies: Any = axes.violinplot([values], [row], orientation="horizontal", widths=0.8, showextrema=False)[
                "bodies"
            ]
            for body in bodies:
                body.set(facecolor=TRAINING, edgecolor="none", alpha=0.35)
        else:
            heights = row + (rng.uniform(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1))
            axes.plot(values, heights, "o", color=TRAINING, markersize=4, alpha=0.5, mew=0, clip_on=False, zorder=3)
        if len(values) >= FEWEST_FOR_QUARTILES:
            axes.boxplot(
                [values],
                positions=[row],
                orientation="horizontal",
                widths=0.55,
                showfliers=False,
                manage_ticks=False,
                boxprops={"color": INK, "linewidth": 0.9},
                whiskerprops={"color": INK, "linewidth": 0.9},
                capprops={"color": INK, "linewidth": 0.9},
                medianprops={"color": INK, "linewidth": 2},
            )
        if len(values) > 1:
            axes.plot(values.mean(), row, "D", color=VALIDATION, markersize=5, clip_on=False, zorder=4)
    axes.set(xlim=(0, top), xlabel=label, ylim=(len(scores) - 0.5, -0.5))
    axes.set_yticks(range(len(scores)), [_short(name) for name in scores])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def plot_scores_over_size(
    axes: Axes, points: Mapping[str, Sequence[tuple[int, float]]], label: str, top: float = 1.0
) -> None:
    """Plot a score over the size of the structure, a point for each case, in the colours of the classes.

    Parameters
    ----------
    axes
        Where to plot.
    points
        By class, the pixels of the reference, more than 0, and the score, in [0, top], of each case.
    label
        Name of the score.
    top
        Largest value of the axis.
    """
    for index, (name, pairs) in enumerate(points.items()):
        axes.plot(*zip(*pairs, strict=True), "o", color=class_colour(index), markersize=4, alpha=0.8, mew=0, label=name)
    axes.set(xscale="log", ylim=(0, top), xlabel="pixels of the structure in the reference", ylabel=label)
    # Powers would be written as formulas, which charts do not parse.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda pixels, _: f"{pixels:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if not numbers_classes(len(points)):
        axes.legend(loc="best", fontsize="small")


def _short(name: str) -> str:
    lines = textwrap.wrap(name, NAME_WIDTH, max_lines=NAME_LINES, placeholder="…")
    return "\n".join(lines)
