"""A bar for long work, and times in words."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as EtaColumn
from rich.text import Text

from .console import PlainConsole
from .text import visible

if TYPE_CHECKING:
    from typing import Self

# Weight of the newest iteration in the loss that is shown.
SMOOTHING = 0.1


class PlainColumn(TextColumn):
    """A column of a bar whose text may come from files, as that of `PlainConsole`."""

    def render(self, task: Task) -> Text:
        return Text(visible(self.text_format.format(task=task)))


def progress_bar(console: PlainConsole, *columns: PlainColumn) -> Progress:
    """A bar with count, the given columns, time passed and time left; silent where there is no terminal."""
    return Progress(
        PlainColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        *columns,
        TimeElapsedColumn(),
        PlainColumn("left"),
        EtaColumn(),
        console=console,
        disable=not console.is_terminal,
        expand=True,
        # rich would send what others print to the console; it belongs into the log.
        redirect_stdout=False,
        redirect_stderr=False,
    )


def clock(seconds: float) -> str:
    """``h:mm:ss`` or ``m:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class EpochProgress:
    """A bar of the steps of a training with its smoothed loss, and a line for each epoch; a context manager.

    Parameters
    ----------
    console
        Where to show it.
    epochs
        Epochs of the whole training.
    finished_epochs
        Those that a resumed run has behind it.
    steps
        Iterations of one epoch that are told.
    description
        What stands before the bar.
    """

    def __init__(
        self, console: PlainConsole, epochs: int, finished_epochs: int, steps: int, description: str = "steps"
    ) -> None:
        self.console = console
        self.epochs = epochs
        self.finished_epochs = finished_epochs
        self.loss: float | None = None
        self._bar = progress_bar(console, PlainColumn("loss {task.fields[loss]}"))
        self._task = self._bar.add_task(description, total=epochs * steps, completed=finished_epochs * steps, loss="-")

    def __enter__(self) -> Self:
        self._start = self._epoch_start = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step_done(self, loss: float | None) -> None:
        """One iteration is over; ``None`` where it has no loss of training."""
        if loss is not None:
            self.loss = loss if self.loss is None else (1 - SMOOTHING) * self.loss + SMOOTHING * loss
        self._bar.update(self._task, advance=1, loss="-" if self.loss is None else f"{self.loss:.3f}")

    def describe(self, description: str) -> None:
        self._bar.update(self._task, description=description)

    def finish_epoch(self, epoch: int, results: str) -> None:
        """Epoch ``epoch``, counted from 1, is over: print its results with its time and the time left."""
        now = time.monotonic()
        left = (now - self._start) / (epoch - self.finished_epochs) * (self.epochs - epoch)
        self.console.print(
            f"epoch {epoch}/{self.epochs}  {results}  {now - self._epoch_start:.0f} s, left {clock(left)}"
        )
        self._epoch_start = now
