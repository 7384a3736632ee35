"""Errors that speak to the user."""

from __future__ import annotations

import errno

from .text import LONGEST_REASON, one_line


class UserError(Exception):
    """Wrong input. The message is one line: what was wrong, the value seen, what to do.

    The command line prints it on stderr and ends with exit code 2, before any training.
    """


class RunError(Exception):
    """A run that had started and cannot go on, for instance because the loss became NaN.

    The command line prints its one-line message on stderr and ends with exit code 1.
    """


def last_line(error: BaseException) -> str:
    """The last line of an error's message that is not empty, or its type where it has none; see `one_line`.

    Readers of images put lines of source code before it, as SimpleITK does.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1], LONGEST_REASON) if lines else type(error).__name__


def full_disk(error: BaseException | None) -> OSError | None:
    """The error of a full disk or quota behind an error, which libraries like to put others in front of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
