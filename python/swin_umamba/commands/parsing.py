"""Types of arguments, and options that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..common.setting_kinds import Duration

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ..common.setting_kinds import Text


def path(text: str) -> Path:
    """The argparse type of files and folders."""
    from pathlib import Path  # which takes a tenth of the time of a help

    return Path(text)


def one_of(kind: Text) -> Callable[[str], Any]:
    """An argparse type for the values of a kind."""

    def convert(text: str) -> Any:
        try:
            return kind.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def add_time_limit(parser: argparse.ArgumentParser, how: str) -> None:
    """Declare ``--time-limit``; ``how`` goes on with what has been stopped."""
    parser.add_argument(
        "--time-limit",
        type=one_of(Duration()),
        metavar="H:MM:SS",
        help=f"stop in time, with exit code 75, to be queued again and gone on with by {how}; SIGUSR1 stops at once "
        f"(default: no limit)",
    )
