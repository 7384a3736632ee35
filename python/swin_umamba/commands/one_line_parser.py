"""What every command's parser is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..common.exit_codes import EXIT_WRONG_INPUT, answer
from ..common.text import one_line

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from _typeshed import SupportsWrite


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr, with exit code 2; it knows ``--version`` and ``--json``.

    `summary_of` tells whether the latter is said.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_HelpFormatter, **options)
        self.add_argument("--version", action=_Version, help="show the program's version and exit")
        self.add_argument(
            "--json",
            action="store_true",
            # Said before the name of a command, it is not to be lost behind it.
            default=argparse.SUPPRESS,
            help="print what was done as one line of JSON, and all else to the standard error",
        )

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        if file is not None:
            super().print_help(file)
        elif code := answer(self.format_help().removesuffix("\n"), self.prog):
            self.exit(code)

    def error(self, message: str) -> NoReturn:
        # The help has all of what is left out, as of a long list of choices.
        self.exit(EXIT_WRONG_INPUT, f"{self.prog}: error: {one_line(message, 200)} (see {self.prog} --help)\n")


def summary_of(args: argparse.Namespace, command: str) -> str | None:
    """The command, if its summary is wanted, as `swin_umamba.common.exit_codes.execute` takes it."""
    return command if getattr(args, "json", False) else None


class _HelpFormatter(argparse.HelpFormatter):
    """Fills each paragraph of a text for itself, but those with indented lines, such as examples; breaks no names."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        import textwrap  # late, as argparse does

        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(part if "\n  " in part else fill(part, width, indent) for part in paragraphs)


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version  # which takes longer than a help

        parser.exit(answer(f"swin-umamba {version('swin-umamba')}", parser.prog))
