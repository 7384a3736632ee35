"""Where the ImageNet weights of the encoder come from."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UserError
from ..pretrained.released_file import FILE_OF_AUTHORS, RELEASED_FILE

ENVIRONMENT_VARIABLE = "SWIN_UMAMBA_PRETRAINED"
USUAL_PLACE = Path("data", "pretrained", "vmamba")
"""Folder relative to the working directory, where the authors' code looks too."""


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
    """The file that ``SWIN_UMAMBA_PRETRAINED`` names, or else the one in `USUAL_PLACE`, under either of its names.

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
    for name in (RELEASED_FILE, FILE_OF_AUTHORS):
        if (USUAL_PLACE / name).is_file():
            return (USUAL_PLACE / name).resolve()
    raise UserError(
        f"the paper starts from ImageNet weights: {RELEASED_FILE}, the VMamba-Tiny checkpoint that the VMamba project "
        f"released ({FILE_OF_AUTHORS} in the authors' code). Give it by --pretrained FILE or "
        f"{ENVIRONMENT_VARIABLE}=FILE, or put it into {USUAL_PLACE}; or train from random weights with {instead}"
    )
