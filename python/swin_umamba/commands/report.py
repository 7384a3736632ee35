"""``swin-umamba report``: write the page of a finished run again."""

from __future__ import annotations

import argparse

from ..common.errors import UserError
from ..evaluation.measure_names import MEASURES_HELP, parse_measures
from .parsing import path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("run", type=path, metavar="RUN", help="the results folder of a finished run")
    parser.add_argument(
        "--output", type=path, metavar="FILE", help="where to write the page (default: report.html in RUN)"
    )
    parser.add_argument(
        "--metrics",
        metavar="A,B,...",
        help=f"the scores that the page shows, separated by commas, of {MEASURES_HELP} (default: as trained)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the page.

    Raises
    ------
    UserError
        The folder holds no finished run, or the page cannot be written there.
    """
    # Imported late: the help of all commands should not wait for matplotlib and nnU-Net.
    from ..common.console import PlainConsole
    from ..common.summary import note
    from ..report.run_page import write_page

    measures = None if args.metrics is None else parse_measures(args.metrics)
    try:
        path = write_page(args.run, args.output, measures)
    except OSError as error:
        raise UserError(f"cannot write the page {args.output or args.run / 'report.html'}: {error.strerror}") from error
    note(page=path)
    PlainConsole(soft_wrap=True).print(f"wrote {path}")
