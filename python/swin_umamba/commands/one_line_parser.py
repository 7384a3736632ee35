"""What every command's parser is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from ..common.exit_codes import EXIT_WRONG_INPUT
from ..common.text import one_line


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr, with exit code 2; it knows ``--version``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument("--version", action=_Version, help="show the program's version and exit")

    def error(self, message: str) -> NoReturn:
        # The help has all of what is left out, as of a long list of choices.
        self.exit(EXIT_WRONG_INPUT, f"{self.prog}: error: {one_line(message, 200)} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version  # which takes longer than a help

        print(f"swin-umamba {version('swin-umamba-ext')}")
        parser.exit()
