"""Exit codes of the commands, and how an error becomes one."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from types import FrameType

from .errors import OutOfTime, RunError, UserError, full_disk, interruption, is_ending, missing_package
from .summary import summarised
from .text import one_line

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import TextIO, TypeVar

    T = TypeVar("T")

EXIT_OK, EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
EXIT_OUT_OF_TIME = 75
"""``EX_TEMPFAIL`` of sysexits.h: try again later."""

_WRONG = "error: "


def execute(run: Callable[[T], None], args: T, prog: str, *, summary_of: str | None = None) -> int:
    """Run a command and turn its errors into a line on stderr, or one for each fault, and an exit code.

    Parameters
    ----------
    run
        What to run.
    args
        What it takes.
    prog
        The name that starts the line, as the user typed it.
    summary_of
        The command, if the standard output is for its summary alone; see `swin_umamba.common.summary`.

    Returns
    -------
    int
        0; 1 for a run that failed or whose output nobody read to its end; 2 for wrong input; 75 for a run whose time
        was up; 130 after Ctrl-C, SIGTERM or SIGHUP.
    """
    _open_closed_streams()
    _end_as_by_ctrl_c()
    try:
        if summary_of is None:
            code, error = _run(run, args)
        else:
            with summarised(summary_of) as end:
                code, error = _run(run, args)
                end.update(exit_code=code, error=error and error.removeprefix(_WRONG))
    except BrokenPipeError:
        # Whoever read the output has gone, as `| head` does.
        _leave_full(sys.stdout)
        return EXIT_FAILED
    except OSError as unwritten:
        # Of the summary: errors of the command itself do not get here.
        if (full := _on_full_disk(unwritten)) is None:
            raise
        code, error = full
    if error:
        _say(f"{prog}: {error}")
    return code


def _run(run: Callable[[T], None], args: T) -> tuple[int, str | None]:
    """The exit code, and what is to be told beside."""
    try:
        with _interruptions_in_front():
            run(args)
        sys.stdout.flush()
    except UserError as error:
        return EXIT_WRONG_INPUT, _WRONG + "\n".join(map(one_line, error.lines))
    except RunError as error:
        return EXIT_FAILED, one_line(str(error))
    except OutOfTime:
        _ended.set()
        return EXIT_OUT_OF_TIME, "out of time; what is finished is on disk, so queue it again"
    except KeyboardInterrupt:
        _ended.set()
        return EXIT_INTERRUPTED, "interrupted"
    except Exception as error:
        if (missing := missing_package(error)) is not None:
            return EXIT_WRONG_INPUT, _WRONG + missing
        if (full := _on_full_disk(error)) is None:
            raise
        return full
    return EXIT_OK, None


def _on_full_disk(error: Exception) -> tuple[int, str] | None:
    """What `_run` returns where a disk was full; ``None`` of any other error."""
    if (disk := full_disk(error)) is None:
        return None
    _leave_full(sys.stdout)
    reason = f"{disk.strerror}: {disk.filename}" if disk.filename else str(disk.strerror)
    return EXIT_FAILED, f"the disk is full ({one_line(reason)}); make room and try again"


def answer(text: str, prog: str) -> int:
    """Print what a help or a version is asked for, and return an exit code, see `execute`."""
    return execute(print, text, prog)


def _say(text: str) -> None:
    # Where nobody can read it, the exit code says it.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)
    _leave_full(sys.stderr)


def _leave_full(stream: TextIO) -> None:
    """Let go of a standard stream that takes nothing more: Python would flush it once more when it ends."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _interruptions_in_front() -> Iterator[None]:
    """Let an interruption through that a library has put an error of its own in front of."""
    try:
        yield
    except (UserError, RunError):
        raise
    except Exception as error:
        if (stopped := interruption(error)) is not None:
            raise stopped from None
        raise


def _open_closed_streams() -> None:
    """Put the null device in the place of standard streams that are closed, as after ``>&-`` and in some services.

    The next file that is opened would otherwise get the number of one, and in it what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _end_as_by_ctrl_c() -> None:
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
    _guard_forks()
    _guard_exit()


_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP


def _interrupt(number: int, frame: FrameType | None) -> None:
    # After the work a second Ctrl-C is for whoever called it.
    if not (is_ending() or (_ended.is_set() and number != signal.SIGINT)):
        raise KeyboardInterrupt


_ended = threading.Event()
"""Whether an interruption has ended the work, so that another one is to change nothing in what is left."""


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
