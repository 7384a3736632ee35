"""Every trainer of `swin_umamba`, where nnU-Net's search by class name looks for it."""

from swin_umamba.trainers.registry import TRAINER_CLASSES

globals().update(TRAINER_CLASSES)
