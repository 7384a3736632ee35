"""Where the ImageNet weights of the encoder come from."""

from __future__ import annotations

import os
from pathlib import Path

from ..common.errors import UserError
from ..paper.encoder import FILE_OF_AUTHORS, RELEASED_FILE, USUAL_PLACE

ENVIRONMENT_VARIABLE = "SWIN_UMAMBA_PRETRAINED"


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
    return absolute_path(path)


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """How a file is named in the settings of a run, whether it is there or not."""
    return Path(path).expanduser().resolve()


def find_pretrained_file(instead: str, former: str | None = None) -> Path:
    """The file that ``SWIN_UMAMBA_PRETRAINED`` names, or else the one in `USUAL_PLACE`, under either of its names.

    Parameters
    ----------
    instead
        What the error advises for a training without pretraining.
    former
        The file of a run that has started from it, and needs it no more.

    Raises
    ------
    UserError
        Neither is there, and no former run names one.
    """
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        if former is not None:
            return absolute_path(named)
        return check_pretrained_file(named, ENVIRONMENT_VARIABLE)
    for name in (RELEASED_FILE, FILE_OF_AUTHORS):
        if (place := Path(USUAL_PLACE, name)).is_file():
            return absolute_path(place)
    if former is not None:
        return Path(former)
    raise UserError(
        f"the paper starts from ImageNet weights: {RELEASED_FILE}, the VMamba-Tiny checkpoint that the VMamba project "
        f"released ({FILE_OF_AUTHORS} in the authors' code). Give it by --pretrained FILE or "
        f"{ENVIRONMENT_VARIABLE}=FILE, or put it into {USUAL_PLACE}; or train from random weights with {instead}"
    )
