"""Who watches a training: a progress bar, measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .paper_trainer import PaperTrainer


class Observer:
    """Is told how the training goes; a subclass has the methods of what it wants to know."""

    def training_begins(self, trainer: PaperTrainer) -> None:
        """Everything is ready for the first epoch of this process."""

    def step_begins(self) -> None:
        """A batch is there, and the weights are about to learn from it."""

    def iteration_done(self, loss: float | None) -> None:
        """One training iteration (its loss) or validation iteration (``None``) is over."""

    def epoch_done(self, epoch: int, train_loss: float, validation_loss: float, dice: float) -> None:
        """Epoch ``epoch``, counted from 0, is over and its checkpoint is on disk."""
