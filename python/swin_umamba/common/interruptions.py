"""Signals that end a command; in a module of its own, as no help has to be interrupted."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from functools import cache
from types import FrameType

from .errors import is_ending


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP, as of a scheduler or a closed terminal, end this process as Ctrl-C does.

    Not in a process of a distributed training: its launcher ends it, and says why. What is ignored, as SIGHUP under
    ``nohup``, stays so.
    """
    if "LOCAL_RANK" in os.environ or threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    _ended.clear()
    _came.clear()
    _guard_forks()
    _guard_exit()


_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP


def _interrupt(number: int, frame: FrameType | None) -> None:
    # After the work a second Ctrl-C is for whoever called it.
    if not (is_ending() or (_ended.is_set() and number != signal.SIGINT)):
        _came.set()
        raise KeyboardInterrupt


def lost_interruption() -> KeyboardInterrupt | None:
    """One that has come: libraries in C that import others say an error of their own instead, as numpy does."""
    return KeyboardInterrupt() if _came.is_set() else None


def end_work() -> None:
    """Say that an interruption has ended the work, so that another one changes nothing in what is left."""
    _ended.set()
    _came.clear()


_ended = threading.Event()
_came = threading.Event()


@cache
def _guard_exit() -> None:
    """While Python ends, it would let a signal kill this process that it has had a handler for."""

    def ignore() -> None:
        for number in (*_SIGNALS, getattr(signal, "SIGUSR1", None)):
            if number is not None and callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_IGN)

    atexit.register(ignore)


@cache
def _guard_forks() -> None:
    """Let what is forked, such as the workers of a pool, be ended by these signals at once.

    A forked process may hang in a lock, where no handler of Python's is run any more; and Python forgets a signal that
    comes between the fork and the end of the handler in the child, so until then they wait.
    """
    if not hasattr(os, "register_at_fork"):
        return
    former = threading.local()

    def hold() -> None:
        former.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, former.mask)

    def end_at_once() -> None:
        for number in _SIGNALS:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=end_at_once)
