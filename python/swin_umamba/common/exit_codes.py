"""Exit codes of the commands, and how an error becomes one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from .errors import RunError, UserError

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
        0; 1 for a run that failed or whose output nobody read to its end; 2 for wrong input; 130 after Ctrl-C.
    """
    try:
        run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone, as `| head` does; Python would flush it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except UserError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except RunError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_OK
