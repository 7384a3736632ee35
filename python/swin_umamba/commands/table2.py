"""The command ``swin-umamba table2``: parameters and operations of the systems beside the paper's."""

from __future__ import annotations

import argparse

from .parsing import path

DESCRIPTION = """\
Count the parameters and the operations of the nine systems of the paper's Table 2 beside what it prints, and of
the systems that it does not have.

As in the paper: one image of 1 channel and 320x320 pixels, 14 outputs, deep supervision on where the system
has it. "ops" are multiply-accumulates as fvcore counts them, "scan" the part of them in selective scans, both
in 10^9; "torch" are the operations that PyTorch's FlopCounterMode counts, two for each multiply-accumulate."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.description = DESCRIPTION
    parser.add_argument("--complexity", action="store_true", required=True, help="count parameters and operations")
    parser.add_argument("--output", type=path, metavar="FILE", help="also write the counts to a file, as JSON")


def run(args: argparse.Namespace) -> None:
    """Count by `swin_umamba.jobs.table2.count_table2`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.table2 import count_table2

    count_table2(args.output)
