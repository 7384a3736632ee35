"""The data set that the command line names: a folder, or an id or name below ``nnUNet_raw``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..common.errors import UserError
from .raw_dataset import MAKER

_FULL_NAME = re.compile(r"Dataset(\d{3})_(.+)")


def find_dataset(text: str) -> Path:
    """The absolute path of a raw data set; a link keeps its name, by which nnU-Net finds the data set.

    Parameters
    ----------
    text
        nnU-Net's id (``702``), a name with or without ``DatasetXXX_``, or a folder. Ids and names are looked for
        below the folder in the environment variable ``nnUNet_raw``, or else below ``./nnUNet_raw``.

    Raises
    ------
    UserError
        There is none, or there are several.
    """
    path = Path(text).expanduser()
    if not text.isdecimal() and path.is_dir():
        return Path(os.path.abspath(path))
    if not text.isdecimal() and len(path.parts) != 1:
        raise UserError(
            f"{text} is not a folder; give the folder of an nnU-Net raw data set, or its id or name; "
            f"{MAKER} makes one of images and their masks"
        )
    raw = Path(os.environ.get("nnUNet_raw") or "nnUNet_raw").expanduser()  # noqa: SIM112 - nnU-Net's name
    if not raw.is_dir():
        raise UserError(
            f"{text} is not a folder, and cannot be looked for by id or name: there is no folder {raw}; give the "
            f"folder of an nnU-Net raw data set, or set the environment variable nnUNet_raw"
        )
    found = [folder for folder in sorted(raw.iterdir()) if folder.is_dir() and _matches(folder.name, text)]
    if not found:
        there = ", ".join(sorted(folder.name for folder in raw.iterdir() if _FULL_NAME.fullmatch(folder.name)))
        raise UserError(f"{raw} holds no data set {text}; it has {there or 'none'}")
    if len(found) > 1:
        raise UserError(f"{raw} holds several data sets {text}: {', '.join(folder.name for folder in found)}")
    return Path(os.path.abspath(found[0]))


def _matches(folder: str, text: str) -> bool:
    match = _FULL_NAME.fullmatch(folder)
    if match is None:
        return False
    return int(match[1]) == int(text) if text.isdecimal() else text in (folder, match[2])
