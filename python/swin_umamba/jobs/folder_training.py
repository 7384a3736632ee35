"""Train on a folder of images and a folder of masks: their data set is made first."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from ..common.errors import SeveralFaults, UserError
from ..common.processes import Ranks
from ..common.typed_json import load_json
from .folder_preparation import SOURCES_FILE, FolderPreparationRequest, prepare_folder, sources_of
from .training import DEFAULT_RESULTS, TrainingRequest

_FIRST_NUMBER = 501
_NAMED = re.compile(r"Dataset(\d{3})_(.+)")


def made_of_folders(request: TrainingRequest, masks: Path) -> TrainingRequest:
    """Make the data set of the images that the request names and of their masks, and return the request for it.

    It lies in the folder ``nnUNet_raw`` beside the results folder. One that was made of these folders is used again.

    Raises
    ------
    UserError
        The folders leave something to be decided or cannot be used, or the data set there was made of others.
    """
    images, masks = Path(request.said["dataset"]).expanduser(), masks.expanduser()
    if (images / "dataset.json").exists():
        raise UserError(f"{images} is a data set, which has its masks in labelsTr; leave {masks} out")
    if request.said.get("group_by") is not None:
        raise UserError(f"--group-by {request.said['group_by']}: groups decide the folds; {_advice(images, masks)}")
    parent = DEFAULT_RESULTS if request.output is None else request.output.expanduser().parent
    folder = _place(parent / "nnUNet_raw", images)
    if not _is_made(folder, images, masks):
        if request.resume:
            raise UserError(f"--resume: there is no data set {folder}; start without --resume, or say the --output")
        _make(folder, images, masks)
    return dataclasses.replace(request, said={**request.said, "dataset": str(folder)})


def _place(raw: Path, images: Path) -> Path:
    """The data set of the images' name, or else a new one with the first number that is free."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "", images.resolve().name) or "Images"
    there = [match for path in sorted(raw.glob("Dataset*")) if (match := _NAMED.fullmatch(path.name))]
    for match in there:
        if match[2] == name:
            return raw / match[0]
    taken = {int(match[1]) for match in there}
    return raw / f"Dataset{next(n for n in range(_FIRST_NUMBER, 1000) if n not in taken)}_{name}"


def _is_made(folder: Path, images: Path, masks: Path) -> bool:
    """Whether the data set is there; raise `UserError` if it was made of something else."""
    from ..common.console import PlainConsole

    other = f"say --output in another folder, or remove {folder}"
    try:
        sources = load_json(folder / SOURCES_FILE)
    except FileNotFoundError:
        if not (folder / "dataset.json").exists():
            return False
        raise UserError(
            f"{folder} does not say of what it was made; name it alone to train on it, or {other}"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / SOURCES_FILE} cannot be read: {error}; {other}") from error
    if sources != sources_of(images, masks):
        raise UserError(f"{folder} was made of other folders than {images} and {masks}; {other}")
    if not (folder / "dataset.json").exists():
        return False
    if Ranks.from_environment().rank == 0:
        PlainConsole().print(f"using {folder}, made before; remove it to have it made anew", soft_wrap=True)
    return True


def _make(folder: Path, images: Path, masks: Path) -> None:
    for path in (images, masks):
        if not path.is_dir():
            raise UserError(f"{path} is no folder; give a folder of images and one of their masks")
    if Ranks.from_environment().world_size > 1:
        raise UserError(f"several processes cannot make one data set; {_advice(images, masks)}")
    try:
        prepare_folder(FolderPreparationRequest(images, masks, folder, for_training=True))
    except SeveralFaults as error:
        # Of several faults the first: prepare folder tells all.
        raise UserError(f"{error.lines[1].removeprefix('- ')}; {_advice(images, masks)}") from error
    except UserError as error:
        raise UserError(f"{error}; {_advice(images, masks)}") from error


def _advice(images: Path, masks: Path) -> str:
    return f"use swin-umamba prepare folder {images} {masks} DST, which has options for it, and train on DST"
