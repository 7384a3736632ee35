"""Who watches a training: a progress bar, measurements, the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..common.time_limit import TimeLimit

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


class EpochsInTime(Observer):
    """Begins no epoch for which there is not as much time left as the longest one so far took."""

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._longest = 0.0
        self._begun: float | None = None

    def step_begins(self) -> None:
        begins = self._begun is None
        if begins:
            self._begun = time.monotonic()
        self._limit.want(self._longest if begins else 0.0)

    def epoch_done(self, epoch: int, train_loss: float, validation_loss: float, dice: float) -> None:
        if self._begun is not None:
            self._longest = max(self._longest, time.monotonic() - self._begun)
        self._begun = None
