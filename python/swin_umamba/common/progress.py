"""A bar for long work, and times in words."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as EtaColumn
from rich.text import Text

from .console import PlainConsole
from .text import visible


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
