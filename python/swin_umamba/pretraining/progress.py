"""What the user sees of a pretraining: a bar on a terminal, and one line for each epoch."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from ..common.console import PlainConsole
from ..common.progress import PlainColumn, clock, progress_bar
from ..trainers.progress import SMOOTHING


class PretrainingProgress:
    """A context manager that is told of every step and epoch.

    Parameters
    ----------
    console
        Where to show it.
    epochs
        Epochs of the whole training.
    finished_epochs
        Those that a resumed run has behind it.
    steps
        Training steps of one epoch.
    """

    def __init__(self, console: PlainConsole, epochs: int, finished_epochs: int, steps: int) -> None:
        self.console = console
        self.epochs = epochs
        self.finished_epochs = finished_epochs
        self.loss: float | None = None
        self._bar = progress_bar(console, PlainColumn("loss {task.fields[loss]}"))
        self._task = self._bar.add_task("steps", total=epochs * steps, completed=finished_epochs * steps, loss="-")

    def __enter__(self) -> PretrainingProgress:
        self._start = self._epoch_start = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step_done(self, loss: float) -> None:
        self.loss = loss if self.loss is None else (1 - SMOOTHING) * self.loss + SMOOTHING * loss
        self._bar.update(self._task, advance=1, loss=f"{self.loss:.3f}")

    def epoch_done(self, results: dict[str, Any]) -> None:
        """Show an entry of the history, see `swin_umamba.pretraining.run.execute_run`."""
        now, epoch = time.monotonic(), results["epoch"]
        left = (now - self._start) / (epoch - self.finished_epochs) * (self.epochs - epoch)
        self.console.print(
            f"epoch {epoch}/{self.epochs}  loss {results['train_loss']:.3f}  "
            f"validation loss {results['validation_loss']:.3f}  accuracy {results['accuracy']:.1%}, "
            f"averaged weights {results['accuracy_ema']:.1%}  {now - self._epoch_start:.0f} s, left {clock(left)}"
        )
        self._epoch_start = now
