"""Every trainer of the package, and how nnU-Net finds them by name.

The base class is in `paper_trainer`, from where the modules of the single trainers take it; this module imports
them all.
"""

from __future__ import annotations

from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_module

from .baseline_trainers import BASELINE_TRAINERS
from .paper_trainer import PaperTrainer
from .swin_umamba_trainers import (
    nnUNetTrainerSwinUMamba,
    nnUNetTrainerSwinUMambaD,
    nnUNetTrainerSwinUMambaDNoScan,
    nnUNetTrainerSwinUMambaDScratch,
    nnUNetTrainerSwinUMambaNoScan,
    nnUNetTrainerSwinUMambaScratch,
)

_TRAINERS: tuple[type[PaperTrainer], ...] = (
    nnUNetTrainerSwinUMamba,
    nnUNetTrainerSwinUMambaD,
    nnUNetTrainerSwinUMambaScratch,
    nnUNetTrainerSwinUMambaDScratch,
    nnUNetTrainerSwinUMambaNoScan,
    nnUNetTrainerSwinUMambaDNoScan,
    *BASELINE_TRAINERS,
)

TRAINER_CLASSES = {trainer.__name__: trainer for trainer in _TRAINERS}


def register_trainers() -> None:
    """Let nnU-Net's search by name find these trainers first.

    The search imports every built-in trainer, one after the other, and one of them needs timm and
    torchvision, which fail to import beside many a CPU build of torch. It starts with the module of the
    base class, so a class that is an attribute of that module is found before any other import.
    """
    for name, trainer in TRAINER_CLASSES.items():
        setattr(nnunet_module, name, trainer)
