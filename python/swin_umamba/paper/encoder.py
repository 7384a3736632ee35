"""The encoder that the paper starts from."""

from __future__ import annotations

RELEASED_FILE = "vssmtiny_dp01_ckpt_epoch_292.pth"
"""VMamba-Tiny in the first release of the VMamba project."""
FILE_OF_AUTHORS = "vmamba_tiny_e292.pth"
"""The name by which the authors' current code looks for it."""
USUAL_PLACE = "data/pretrained/vmamba"
"""Folder relative to the working directory, where the authors' code looks too."""
