"""``swin-umamba nnunet-path``: where stock nnU-Net finds the trainers."""

from __future__ import annotations

import argparse
import os
import sys

from ..common.errors import RunError
from ..nnunet_plugin import EXT_TRAINER

SUMMARY = "print the folder that makes stock nnU-Net find the trainers, for the variable nnUNet_extTrainer"


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
    if args.check:
        os.environ.update(nnUNet_extTrainer=str(EXT_TRAINER))
        names = look_up_trainers()
        print(f"nnU-Net finds {len(names)} trainers: {', '.join(names)}", file=sys.stderr)
    print(EXT_TRAINER)


def look_up_trainers() -> list[str]:
    """Look every trainer of the package up by name, as nnU-Net's commands do for ``-tr``.

    Returns
    -------
    list of str
        The names, all of which were found in the folders of ``nnUNet_extTrainer``.

    Raises
    ------
    RunError
        The search fails, or finds another class of that name.
    """
    # nnU-Net and torch print while they are imported and while they search.
    from ..common.console import capture_output

    with capture_output(None):
        import torch
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

        from ..trainers.registry import TRAINER_CLASSES

        for name, trainer in TRAINER_CLASSES.items():
            try:
                found = recursive_find_trainer_class_by_name(name)
            # The search imports modules of other packages, which raise whatever they like.
            except Exception as error:
                reason = " ".join(str(error).split())
                raise RunError(
                    f"nnU-Net's search for {name} stops with {type(error).__name__}: {reason}. It imports nnU-Net's "
                    f"own trainers first, and one of these needs timm and torchvision: install the torchvision that "
                    f"belongs to torch {torch.__version__}, or use swin-umamba train and predict, which need none"
                ) from error
            if found is not trainer:
                raise RunError(
                    f"nnU-Net finds another {name} first, in {found.__module__}, as in a fork of nnU-Net that brings "
                    f"its own; install nnunetv2 itself"
                )
    return list(TRAINER_CLASSES)
