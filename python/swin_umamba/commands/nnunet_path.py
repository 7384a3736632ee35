"""``swin-umamba nnunet-path``: where stock nnU-Net finds the trainers."""

from __future__ import annotations

import argparse
import sys

from ..common.summary import note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "--check",
        action="store_true",
        help="also look every trainer up as nnU-Net's commands do, and say what keeps them from it",
    )


def run(args: argparse.Namespace) -> None:
    """Print the folder, alone on the standard output.

    Raises
    ------
    RunError
        With ``--check``: nnU-Net does not find the trainers.
    """
    from ..nnunet_plugin import EXT_TRAINER

    if args.check:
        from ..nnunet_plugin.lookup import look_up_trainers

        names = look_up_trainers()
        note(trainers=names)
        print(f"nnU-Net finds {len(names)} trainers: {', '.join(names)}", file=sys.stderr)
    note(path=EXT_TRAINER)
    print(EXT_TRAINER)
