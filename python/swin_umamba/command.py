"""What every command of the product shares: its parser, its exit codes, its number checks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from .errors import RunError, UserError

EXIT_OK, EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_WRONG_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def execute(run: Callable[[argparse.Namespace], None], args: argparse.Namespace, prog: str) -> int:
    """Run a command and turn its errors into one line on stderr and an exit code.

    Parameters
    ----------
    run
        The command's ``run(args)``.
    args
        The parsed arguments.
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


def integer_between(low: int, high: int) -> Callable[[str], int]:
    """An argparse type for an integer in ``[low, high]``."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be between {low} and {high}, got {value}")
        return value

    return convert


def number_between(low: float, high: float) -> Callable[[str], float]:
    """An argparse type for a number in ``(low, high]``; NaN is refused."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
        if not low < value <= high:
            raise argparse.ArgumentTypeError(f"must be above {low:g} and at most {high:g}, got {value:g}")
        return value

    return convert
