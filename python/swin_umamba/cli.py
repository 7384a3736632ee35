"""The console script ``swin-umamba``: one subcommand for one module.

A module of a command has ``SUMMARY``, ``add_arguments(parser)`` and ``run(args)``.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import pretrain, train
from .command import OneLineParser, execute
from .comparison import compare_command
from .complexity import table2_command
from .evaluation import evaluate_command
from .nnunet_plugin import path_command
from .page import report_command
from .prediction import predict_command
from .prepare import prepare_command

COMMANDS = {
    "prepare": prepare_command,
    "pretrain": pretrain,
    "train": train,
    "predict": predict_command,
    "evaluate": evaluate_command,
    "report": report_command,
    "compare": compare_command,
    "table2": table2_command,
    "nnunet-path": path_command,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code; see `swin_umamba.command.execute`."""
    parser = OneLineParser(prog="swin-umamba", description="Swin-UMamba for medical image segmentation.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY))
    args = parser.parse_args(argv)
    return execute(COMMANDS[args.command].run, args, f"{parser.prog} {args.command}")
