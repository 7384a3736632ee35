"""Where the ImageNet weights of the encoder come from."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UserError

RELEASED_NAME = "vssmtiny_dp01_ckpt_epoch_292.pth"
ENVIRONMENT_VARIABLE = "SWIN_UMAMBA_PRETRAINED"
USUAL_PLACE = Path("data", "pretrained", "vmamba", RELEASED_NAME)
"""Relative to the working directory: where the authors' code looks."""


def check_pretrained_file(path: str | os.PathLike[str], named_by: str) -> Path:
    """Return the absolute path of a file that is there.

    Raises
    ------
    UserError
        It is not; the message starts with ``named_by``.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{named_by} {path}: there is no such file")
    return path.resolve()


def find_pretrained_file(instead: str) -> Path:
    """The file that ``SWIN_UMAMBA_PRETRAINED`` names, or else the one in `USUAL_PLACE`.

    Parameters
    ----------
    instead
        What the error advises for a training without pretraining.

    Raises
    ------
    UserError
        Neither is there.
    """
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        return check_pretrained_file(named, ENVIRONMENT_VARIABLE)
    if USUAL_PLACE.is_file():
        return USUAL_PLACE.resolve()
    raise UserError(
        f"the paper starts from ImageNet weights: {RELEASED_NAME}, the VMamba-Tiny checkpoint that the VMamba project "
        f"released. Give it by --pretrained FILE or {ENVIRONMENT_VARIABLE}=FILE, or put it into {USUAL_PLACE.parent}; "
        f"or train from random weights with {instead}"
    )
