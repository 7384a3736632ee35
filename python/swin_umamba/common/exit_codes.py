"""Exit codes of the commands, and how an error becomes one."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator

from .errors import OutOfTime, RunError, UserError, full_disk, interruption, missing_package, refused_path
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
    from .interruptions import end_as_by_ctrl_c  # late: no help needs it

    end_as_by_ctrl_c()
    return _execute(run, args, prog, summary_of)


def _execute(run: Callable[[T], None], args: T, prog: str, summary_of: str | None = None) -> int:
    _open_closed_streams()
    _escape_what_has_no_character()
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
    except KeyboardInterrupt as stopped:
        from .interruptions import end_work

        end_work()
        if isinstance(stopped, OutOfTime):
            return EXIT_OUT_OF_TIME, "out of time; what is finished is on disk, so queue it again"
        return EXIT_INTERRUPTED, "interrupted"
    except Exception as error:
        if (told := missing_package(error) or refused_path(error)) is not None:
            return EXIT_WRONG_INPUT, _WRONG + one_line(told)
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
    return _execute(print, text, prog)


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
        from .interruptions import lost_interruption

        if (stopped := interruption(error) or lost_interruption()) is not None:
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


def _escape_what_has_no_character() -> None:
    """Let the standard output of another encoding than UTF-8, as Latin-1 or ASCII, take † and × as the errors do."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):
        return
    # In the locale C, Python lets only bytes through that it could not read.
    if out.errors == "strict" or (out.errors == "surrogateescape" and out.encoding.lower() != "utf-8"):
        out.reconfigure(errors="backslashreplace")
