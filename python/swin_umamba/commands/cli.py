"""The console script ``swin-umamba``: one subcommand for one module.

A module of a command has ``add_arguments(parser)`` and ``run(args)``; it is loaded when its command is named.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from ..common.exit_codes import execute
from .one_line_parser import OneLineParser, summary_of

COMMANDS = {
    "prepare": "turn a folder of images and masks, or the download of one of the paper's data sets, into a data set",
    "pretrain": "pretrain the encoder as an image classifier, on a folder of images for each class",
    "train": "train on a data set, predict its held-out cases, score and draw them",
    "predict": "predict label images with a trained model, by nnU-Net's sliding window",
    "export": "write a trained model as ONNX, for torch.export, compiled, or for the Hugging Face Hub",
    "evaluate": "score predictions against references: DSC and NSD of organs, instruments or any labels, F1 of cells",
    "report": "write the page of a finished run (report.html) again, from its metrics and files",
    "compare": "train, predict and score several systems under one budget, and make their table and figure",
    "table2": "parameters and operations of the systems, beside the paper's Table 2",
    "nnunet-path": "print the folder that makes stock nnU-Net find the trainers, for the variable nnUNet_extTrainer",
}
"""What each does, in the words of the help."""


def command_module(name: str) -> ModuleType:
    """The module of a command."""
    return import_module(f".{name.replace('-', '_')}", __package__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code; see `swin_umamba.common.exit_codes.execute`."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["help"]:  # as git and others take it
        words = [*(word for word in words[1:] if word != "help"), "--help"]
    parser = OneLineParser(
        prog="swin-umamba",
        description="Swin-UMamba for medical image segmentation.",
        epilog="`swin-umamba help COMMAND` tells the options of a command.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # No option before the command takes a value, so the first other word is its name, and no other needs a parser
    # unless an option before it, as --help, speaks of all.
    named = next((word for word in words if not word.startswith("-")), None)
    names = [named] if named in COMMANDS and words[0] == named else COMMANDS
    parsers = {name: commands.add_parser(name, help=COMMANDS[name], description=COMMANDS[name]) for name in names}
    if named in COMMANDS:
        command_module(named).add_arguments(parsers[named])
    args, unknown = parser.parse_known_args(words)
    if unknown:
        # argparse would name the help of all commands, where none of a command's options are.
        parsers[args.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    run = command_module(args.command).run
    return execute(run, args, f"{parser.prog} {args.command}", summary_of=summary_of(args, args.command))
