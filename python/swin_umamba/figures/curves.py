"""The course of a training: loss, Dice and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..files import replace_atomically

TRAINING, VALIDATION = "#1f5fa8", "#d1541b"


def draw_loss_curve(
    path: Path,
    train_losses: Sequence[float],
    validation_losses: Sequence[float],
    validation_dice: Sequence[float],
    title: str,
    validation_name: str = "validation",
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
    validation_name
        What the validation curves were measured on.
    """
    epochs = range(1, len(train_losses) + 1)
    marker = "o" if len(train_losses) <= 30 else None
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    loss.plot(epochs, train_losses, color=TRAINING, marker=marker, markersize=4, label="training")
    loss.plot(epochs, validation_losses, color=VALIDATION, marker=marker, markersize=4, label=validation_name)
    loss.set(xlabel="epoch", ylabel="loss (Dice + cross-entropy)")
    loss.legend(frameon=False)
    dice.plot(epochs, validation_dice, color=VALIDATION, marker=marker, markersize=4, label=validation_name)
    dice.set(xlabel="epoch", ylabel="mean Dice over classes, on patches", ylim=(0, 1))
    dice.legend(frameon=False, loc="lower right")
    for axes in (loss, dice):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.suptitle(title)
    with replace_atomically(path) as file:
        figure.savefig(file, dpi=150, format="png")
