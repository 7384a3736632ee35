"""What the user sees during a run, and where everything else goes.

nnU-Net and its worker processes print a lot. `capture_output` sends file descriptors 1 and 2
to the log of the run, which also catches C++ code and child processes, and keeps a console of
its own on the terminal.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from .text import visible


class PlainConsole(Console):
    """A console on which text is text: names of files and labels hold brackets, colons and worse.

    rich's markup and emoji codes are off, and control characters are shown instead of obeyed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make rich's text of a string, in a line or in a cell of a table."""
        return super().render_str(visible(text, newlines=True), **options)

    def announce(self, what: str, rest: str = "", style: str = "bold") -> None:
        """Print a line whose first words stand out."""
        self.print(Text.assemble((visible(what), style), f" {visible(rest)}" if rest else ""), soft_wrap=True)


class _LastingConsole(PlainConsole):
    """Goes on in silence when nobody reads it any more (``| head``): a training is worth more than its lines."""

    def on_broken_pipe(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def capture_output(log: Path | None) -> Iterator[PlainConsole]:
    """Send all output to a file for the time of the ``with`` block.

    Parameters
    ----------
    log
        The file to append to; ``None`` drops the output.

    Yields
    ------
    PlainConsole
        Writes to what was the standard output before, and to nowhere once that is closed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal, terminal_errors = os.dup(1), os.dup(2)
    target = os.open(os.devnull if log is None else log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    # Python's own streams are replaced as well: a test runner or a notebook may hold others than 1 and 2.
    stdout, stderr = sys.stdout, sys.stderr
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        file = os.fdopen(target, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
        with os.fdopen(terminal, "w", encoding="utf-8", errors="replace", closefd=False) as screen:
            sys.stdout = sys.stderr = file
            try:
                yield _LastingConsole(file=screen, soft_wrap=True)
            finally:
                with contextlib.suppress(OSError):  # of a full disk, which is not to hide why the work ended
                    file.close()
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        os.dup2(terminal, 1)
        os.dup2(terminal_errors, 2)
        for descriptor in (terminal, terminal_errors, target):
            os.close(descriptor)


_ears = threading.RLock()
# A process that is forked meanwhile has its standard error again, and no lock that nobody opens.
os.register_at_fork(before=_ears.acquire, after_in_parent=_ears.release, after_in_child=_ears.release)


@contextlib.contextmanager
def heard_errors() -> Iterator[list[str]]:
    """Keep from the terminal what C++ code writes to the standard error in the ``with`` block.

    One thread at a time: where its block is, is all that the process writes there.

    Yields
    ------
    list of str
        Gets the lines at the end of the block.
    """
    lines: list[str] = []
    with _ears, _scratch_file() as heard:
        terminal = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            heard.seek(0)
            lines += heard.read().decode("utf-8", "replace").splitlines()


def _scratch_file() -> IO[bytes]:
    """In memory where the system can, so that no folder has to be writable."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("heard"), "w+b")
    return tempfile.TemporaryFile()
