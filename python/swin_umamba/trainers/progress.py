"""Progress of a training on the console: one line for each epoch, and a bar on a terminal."""

from __future__ import annotations

from ..common.console import PlainConsole
from ..common.progress import EpochProgress
from .observer import Observer


class TrainingProgress(EpochProgress, Observer):
    """An observer; ``steps`` are the training and validation iterations of one epoch together."""

    def __init__(self, console: PlainConsole, epochs: int, finished_epochs: int, steps: int) -> None:
        super().__init__(console, epochs, finished_epochs, steps, f"epoch {finished_epochs + 1}/{epochs}")

    def iteration_done(self, loss: float | None) -> None:
        self.step_done(loss)

    def epoch_done(self, epoch: int, train_loss: float, validation_loss: float, dice: float) -> None:
        self.describe(f"epoch {min(epoch + 2, self.epochs)}/{self.epochs}")
        self.finish_epoch(
            epoch + 1,
            f"loss {train_loss:.3f}  validation loss {validation_loss:.3f}  validation Dice {dice:.3f}",
        )
