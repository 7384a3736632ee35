"""What every command's parser shares: one-line errors, and checks of numbers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from ..common.exit_codes import EXIT_WRONG_INPUT


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_WRONG_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


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
