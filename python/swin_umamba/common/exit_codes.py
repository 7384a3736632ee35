"""Exit codes of the commands, and how an error becomes one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TypeVar

from .errors import RunError, UserError, full_disk
from .text import one_line

EXIT_OK, EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

T = TypeVar("T")


def execute(run: Callable[[T], None], args: T, prog: str) -> int:
    """Run a command and turn its errors into one line on stderr and an exit code.

    Parameters
    ----------
    run
        What to run.
    args
        What it takes.
    prog
        The name that starts the line, as the user typed it.

    Returns
    -------
    int
        0; 1 for a run that failed or whose output nobody read to its end; 2 for wrong input; 130 after Ctrl-C, SIGTERM
        or SIGHUP.
    """
    _end_as_by_ctrl_c()
    try:
        run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone, as `| head` does; Python would flush it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except UserError as error:
        print(f"{prog}: error: {one_line(str(error))}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except RunError as error:
        print(f"{prog}: {one_line(str(error))}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if (disk := full_disk(error)) is None:
            raise
        reason = f"{disk.strerror}: {disk.filename}" if disk.filename else disk.strerror
        print(f"{prog}: the disk is full ({one_line(reason)}); make room and try again", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def _end_as_by_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP, as of a scheduler or a closed terminal, end this process as Ctrl-C does.

    Not in a process of a distributed training: its launcher ends it, and says why. What is ignored, as SIGHUP under
    ``nohup``, stays so.
    """
    if "LOCAL_RANK" in os.environ or threading.current_thread() is not threading.main_thread():
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)
            if hasattr(os, "register_at_fork"):
                # A forked worker, which its pool ends, may hang in a lock where no handler of Python's is run any more.
                os.register_at_fork(after_in_child=partial(_end_at_once, number, interrupt))


def _end_at_once(number: int, handler: Callable[[int, FrameType | None], None]) -> None:
    if signal.getsignal(number) is handler:
        signal.signal(number, signal.SIG_DFL)
