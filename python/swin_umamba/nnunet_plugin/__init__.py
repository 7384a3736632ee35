"""The trainers for stock nnU-Net: the folder ``ext_trainer`` goes into the variable ``nnUNet_extTrainer``."""

from pathlib import Path

EXT_TRAINER = Path(__file__).resolve().parent / "ext_trainer"
