"""Whether stock nnU-Net finds the trainers."""

from __future__ import annotations

import os

from ..common.errors import RunError
from . import EXT_TRAINER


def look_up_trainers() -> list[str]:
    """Look every trainer of the package up by name, as nnU-Net's commands do for ``-tr``.

    Returns
    -------
    list of str
        The names, all of which were found in `EXT_TRAINER`, which the variable ``nnUNet_extTrainer`` names from now on.

    Raises
    ------
    RunError
        The search fails, or finds another class of that name.
    """
    os.environ.update(nnUNet_extTrainer=str(EXT_TRAINER))
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
