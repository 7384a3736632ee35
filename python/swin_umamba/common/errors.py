"""Errors that speak to the user."""

from __future__ import annotations


class UserError(Exception):
    """Wrong input. The message is one line: what was wrong, the value seen, what to do.

    The command line prints it on stderr and ends with exit code 2, before any training.
    """


class RunError(Exception):
    """A run that had started and cannot go on, for instance because the loss became NaN.

    The command line prints its one-line message on stderr and ends with exit code 1.
    """


def last_line(error: BaseException) -> str:
    """The last line of an error's message that is not empty, or its type where it has none.

    Readers of images put lines of source code before it, as SimpleITK does.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
