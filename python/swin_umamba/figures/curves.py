"""The course of a training: loss, Dice and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..common.files import replace_atomically
from .style import TRAINING, VALIDATION, figure_style

Values = Sequence[float | None]
"""One value for each epoch; ``None`` or NaN where there is none."""

FEW_EPOCHS, MOST_TICKS = 30, 10


def draw_loss_curve(
    path: Path,
    train_losses: Values,
    validation_losses: Values,
    validation_dice: Values,
    title: str,
    fold: int | str,
) -> None:
    """Draw losses and Dice of each epoch, as nnU-Net computes them on patches during the training.

    Parameters
    ----------
    path
        PNG file to write.
    train_losses, validation_losses, validation_dice
        One value for each epoch. The loss is Dice + cross-entropy and can be negative, since nnU-Net's Dice
        loss is minus the soft Dice.
    title
        Above the picture.
    fold
        The fold that was trained.
    """
    with figure_style():
        figure = Figure(figsize=(10, 4), layout="constrained")
        loss, dice = figure.subplots(1, 2)
        plot_losses(loss, train_losses, validation_losses, validation_name(fold))
        plot_dice(dice, validation_dice, validation_name(fold))
        figure.suptitle(title)
        with replace_atomically(path) as file:
            figure.savefig(file, dpi=150, format="png")


def validation_name(fold: int | str) -> str:
    """What the validation curves of a fold were measured on."""
    return "training cases, not augmented" if fold == "all" else "validation"


def plot_losses(axes: Axes, train_losses: Values, validation_losses: Values, label: str) -> None:
    """Plot the losses of each epoch; ``label`` names what the validation loss was measured on."""
    _plot(axes, train_losses, TRAINING, "training", marker="o")
    # Dashed, to be told apart in a black and white print.
    _plot(axes, validation_losses, VALIDATION, label, marker="s", linestyle="--")
    axes.set_ylabel("loss: Dice + cross-entropy")
    _legend(axes)
    _finish(axes, len(train_losses))


def plot_dice(axes: Axes, validation_dice: Values, label: str) -> None:
    """Plot the Dice of each epoch, from 0 to 1; ``label`` names what it was measured on."""
    _plot(axes, validation_dice, VALIDATION, label, marker="s")
    axes.set(ylabel="mean Dice on patches", ylim=(0, 1))
    _legend(axes)
    _finish(axes, len(validation_dice))


def plot_learning_rate(axes: Axes, rates: Values) -> None:
    """Plot the learning rate of each epoch, from 0."""
    _plot(axes, rates, TRAINING, "learning rate", marker="o")
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    _finish(axes, len(rates))


def _plot(axes: Axes, values: Values, colour: str, label: str, marker: str, linestyle: str = "-") -> None:
    numbers = np.array(values, dtype=float)
    alone = np.isfinite(numbers).sum() <= FEW_EPOCHS
    axes.plot(
        range(1, len(numbers) + 1),
        numbers,
        color=colour,
        linestyle=linestyle,
        marker=marker if alone else None,
        markersize=4,
        label=label,
        # A Dice of 1 lies on the edge.
        clip_on=False,
    )


def _finish(axes: Axes, n_epochs: int) -> None:
    axes.set_xlabel("epoch")
    margin = 0.03 * max(n_epochs, 10)
    axes.set_xlim(1 - margin, n_epochs + margin)
    if n_epochs <= MOST_TICKS:
        axes.set_xticks(range(1, n_epochs + 1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend(axes: Axes) -> None:
    # Above the axes it hides no curve.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, handlelength=2, columnspacing=1)
