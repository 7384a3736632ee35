"""Progress of a training on the console: a bar on a terminal, else one line for each epoch."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import TaskID

from ..common.console import PlainConsole
from ..common.progress import PlainColumn, clock, progress_bar
from .observer import Observer

# Weight of the newest iteration in the loss that is shown.
SMOOTHING = 0.1


class TrainingProgress(Observer):
    """Shows loss and remaining time; an observer, and a context manager.

    Parameters
    ----------
    console
        Where to show it.
    epochs
        Epochs of the whole training.
    finished_epochs
        Those that a resumed run has behind it.
    steps
        Training and validation iterations of one epoch together.
    """

    def __init__(self, console: PlainConsole, epochs: int, finished_epochs: int, steps: int) -> None:
        self.console = console
        self.epochs = epochs
        self.finished_epochs = finished_epochs
        self.loss: float | None = None
        self._bar = progress_bar(console, PlainColumn("loss {task.fields[loss]}"))
        self._task: TaskID = self._bar.add_task(
            self._title(finished_epochs), total=epochs * steps, completed=finished_epochs * steps, loss="-"
        )
        self._start = self._epoch_start = time.monotonic()

    def __enter__(self) -> TrainingProgress:
        self._start = self._epoch_start = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def iteration_done(self, loss: float | None) -> None:
        if loss is not None:
            self.loss = loss if self.loss is None else (1 - SMOOTHING) * self.loss + SMOOTHING * loss
        self._bar.update(self._task, advance=1, loss="-" if self.loss is None else f"{self.loss:.3f}")

    def epoch_done(self, epoch: int, train_loss: float, validation_loss: float, dice: float) -> None:
        self._bar.update(self._task, description=self._title(min(epoch + 1, self.epochs - 1)))
        now = time.monotonic()
        if not self.console.is_terminal:
            left = (now - self._start) / (epoch + 1 - self.finished_epochs) * (self.epochs - epoch - 1)
            self.console.print(
                f"epoch {epoch + 1}/{self.epochs}  loss {train_loss:.3f}  validation loss {validation_loss:.3f}  "
                f"validation Dice {dice:.3f}  {now - self._epoch_start:.0f} s, left {clock(left)}"
            )
        self._epoch_start = now

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.epochs}"
