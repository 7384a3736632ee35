"""How a long run ends that was interrupted or met an error that nobody foresaw."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from .console import PlainConsole
from .errors import RunError, UserError, full_disk, interruption, missing_package
from .text import LONGEST_REASON, one_line


@contextlib.contextmanager
def explain_failures(log: Path, console: PlainConsole) -> Iterator[None]:
    """Say how to go on after an interruption, and make a `RunError` of one line of an unforeseen error.

    Parameters
    ----------
    log
        Gets the traceback of such an error, from whichever process it is.
    console
        What the user sees.

    Raises
    ------
    RunError
        In the place of any other error but `UserError` and that of a package that is not installed.
    """
    try:
        yield
    except (UserError, RunError):
        raise
    except BaseException as error:
        if (stopped := interruption(error)) is not None:
            console.print("stopped; go on with the same command and --resume")
            raise stopped from None
        if not isinstance(error, Exception):
            raise
        disk = full_disk(error)
        reason = one_line(str(error), LONGEST_REASON) or "no message"
        # Not by print: only the first process has the log as its output.
        try:
            with open(log, "a", encoding="utf-8") as file:
                file.write(traceback.format_exc())
            details = f" (details in {log})"
        except OSError:  # a full disk, which may be why the run failed
            details = ""
        if missing_package(error) is not None:
            raise
        if disk is not None:
            raise RunError(
                f"the disk is full ({disk.strerror}{f': {disk.filename}' if disk.filename else ''}); make room, and go "
                f"on with the same command and --resume"
            ) from error
        raise RunError(f"failed with {type(error).__name__}: {reason}{details}") from error
