"""Errors that speak to the user."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator, Sequence

from .text import LONGEST_REASON, one_line, shortened

SHOWN_FAULTS = 20


class UserError(Exception):
    """Wrong input. The message is one line: what was wrong, the value seen, what to do.

    The command line prints it on stderr and ends with exit code 2, before any training.
    """

    @property
    def lines(self) -> Sequence[str]:
        """What the command line prints."""
        return [str(self)]


class SeveralFaults(UserError):
    """Faults that are told together, each on a line of its own; as text they are one line.

    Parameters
    ----------
    what
        Has the faults.
    faults
        One line each, as of a `UserError`.
    """

    def __init__(self, what: str, faults: Sequence[str]) -> None:
        first = f"; the first {SHOWN_FAULTS}" if len(faults) > SHOWN_FAULTS else ""
        self._lines = [f"{what} has {len(faults)} faults{first}:", *faults[:SHOWN_FAULTS]]
        super().__init__(f"{self._lines[0]} {'; '.join(self._lines[1:])}")

    @property
    def lines(self) -> Sequence[str]:
        return [self._lines[0], *(f"- {fault}" for fault in self._lines[1:])]


class Faults:
    """Collects faults, so that all are told together."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, fault: str) -> None:
        """Keep a fault, as one line."""
        self.found.append(one_line(fault))

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Keep a `UserError`, and go on behind the block."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    def tell(self, what: str) -> None:
        """Raise `UserError` if there is any fault of ``what``."""
        if len(self.found) > 1:
            raise SeveralFaults(what, self.found)
        if self.found:
            raise UserError(self.found[0])


class RunError(Exception):
    """A run that had started and cannot go on, for instance because the loss became NaN.

    The command line prints its one-line message on stderr and ends with exit code 1.
    """


class OutOfTime(KeyboardInterrupt):
    """The time of a run is up, as a scheduler gives it; the command ends as by Ctrl-C, but asks to be queued again."""


def last_line(error: BaseException) -> str:
    """The last line of an error's message that is not empty, or its type where it has none; see `one_line`.

    Readers of images put lines of source code before it, as SimpleITK does.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1], LONGEST_REASON) if lines else type(error).__name__


def full_disk(error: BaseException | None) -> OSError | None:
    """The error of a full disk or quota behind an error, which libraries like to put others in front of."""
    for found in _chain(error):
        if isinstance(found, OSError) and found.errno in (errno.ENOSPC, errno.EDQUOT):
            return found
    return None


def refused_path(error: BaseException) -> str | None:
    """What to do about a path that the system does not even look up; ``None`` of any other error.

    Its name is longer than a disk can hold, or a folder on the way is not the user's to enter: `pathlib.Path.exists`
    raises an error there.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.EACCES) and error.filename is not None:
        return f"cannot use {shortened(str(error.filename), LONGEST_REASON)}: {error.strerror}; name another"
    return None


def missing_package(error: BaseException) -> str | None:
    """What to do about an import that failed because a library is not installed; ``None`` of any other error.

    As where the wheel was installed without what it asks for.
    """
    name = (error.name or "").partition(".")[0] if type(error) is ModuleNotFoundError else ""
    if name in ("", __package__.partition(".")[0]):
        return None
    return (
        f"the package {name} is not installed; pip install . in the sources of swin-umamba installs all that it needs"
    )


def interruption(error: BaseException) -> KeyboardInterrupt | None:
    """What has interrupted the work that an error ended: ``torch.save`` puts one of its own in front of Ctrl-C."""
    return next((found for found in _chain(error) if isinstance(found, KeyboardInterrupt)), None)


def is_ending() -> bool:
    """Whether this thread is about to end what an interruption has stopped: another one would leave it half ended."""
    error = sys.exc_info()[1]
    return error is not None and interruption(error) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was raised from or beside."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
