"""An end in time: a run that stops by itself before a scheduler kills it, and asks to be queued again."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import cache
from types import FrameType

from .errors import OutOfTime, is_ending

# A signal that a scheduler sends some time before the end, as Slurm's --signal=USR1@600; Windows has none.
_WARNING = getattr(signal, "SIGUSR1", None)


class TimeLimit:
    """What is left of the time of a run.

    Parameters
    ----------
    seconds
        From now on; ``None`` for as long as it takes.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def end(self) -> None:
        """Let it be over from now on."""
        self._end = -math.inf

    def want(self, seconds: float) -> None:
        """Raise `OutOfTime` unless there is time for something that takes so many seconds."""
        if self._end is not None and time.monotonic() + seconds > self._end:
            raise OutOfTime


@contextlib.contextmanager
def end_in_time(seconds: float | None) -> Iterator[TimeLimit]:
    """Raise `OutOfTime` wherever the block is when time is up, or when SIGUSR1 comes.

    Parameters
    ----------
    seconds
        From now on; ``None`` for no limit but the signal.

    Notes
    -----
    It is raised in the main thread, as a `KeyboardInterrupt` is by Ctrl-C. In another thread there are no signals, and
    the limit holds where it is asked for alone. A handler that somebody else has set for SIGUSR1 stays.
    """
    limit = TimeLimit(seconds)
    if threading.current_thread() is not threading.main_thread() or _WARNING is None:
        yield limit
        return
    numbers = [signal.SIGALRM] if seconds is not None else []
    # Processes of a distributed training are ended by their launcher.
    if signal.getsignal(_WARNING) in (signal.SIG_DFL, _drop) and "LOCAL_RANK" not in os.environ:
        numbers.append(_WARNING)
    _guard_forks()
    former = {number: signal.signal(number, _raise) for number in numbers}
    _limits.append(limit)
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield limit
    finally:
        if seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in former.items():
            # By default it would kill a process that is ending, with a code of its own.
            signal.signal(number, _drop if is_ending() and handler == signal.SIG_DFL else handler)
        _limits.remove(limit)


def ignore_warning() -> None:
    """Leave SIGUSR1 to the process that started this one: some schedulers send it to all."""
    if _WARNING is not None:
        signal.signal(_WARNING, signal.SIG_IGN)


_limits: list[TimeLimit] = []
"""Of the blocks that are running."""


def _raise(number: int, frame: FrameType | None) -> None:
    # Where Python swallows an error, as in a finalizer, whoever asks next is told.
    for limit in _limits:
        limit.end()
    if not is_ending():
        raise OutOfTime


def _drop(number: int, frame: FrameType | None) -> None:
    pass


@cache
def _guard_forks() -> None:
    """Leave the signal to this process where workers are forked from it."""

    def leave() -> None:
        if _WARNING is not None and signal.getsignal(_WARNING) is _raise:
            ignore_warning()

    os.register_at_fork(after_in_child=leave)
