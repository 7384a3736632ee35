"""The console script ``swin-umamba``: one subcommand for one module.

A module of a command has ``SUMMARY``, ``add_arguments(parser)`` and ``run(args)``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..common.exit_codes import execute
from . import compare, evaluate, export, nnunet_path, predict, prepare, pretrain, report, table2, train
from .parsing import OneLineParser

COMMANDS = {
    "prepare": prepare,
    "pretrain": pretrain,
    "train": train,
    "predict": predict,
    "export": export,
    "evaluate": evaluate,
    "report": report,
    "compare": compare,
    "table2": table2,
    "nnunet-path": nnunet_path,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code; see `swin_umamba.common.exit_codes.execute`."""
    parser = OneLineParser(prog="swin-umamba", description="Swin-UMamba for medical image segmentation.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY))
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        # argparse would name the help of all commands, where none of a command's options are.
        commands.choices[args.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return execute(COMMANDS[args.command].run, args, f"{parser.prog} {args.command}")
