"""Series of DICOM as files of the formats that everything else reads, for as long as a command needs them."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import Faults, UserError
from ..encoding import encoded, nifti_of
from ..formats import ENDINGS, JPEG_ENDINGS, files_below, image_ending
from ..stored import ImageFault, StoredImage
from .instances import dicom_files
from .series import DicomImage, Series, find_series, read_series

_PNG_TYPES = (np.uint8, np.uint16)


@dataclass(frozen=True)
class StagedSeries:
    """A series, and the case that it became.

    Attributes
    ----------
    case : str
        Its name, which may end as the number of a channel does in nnU-Net's files, and is none here.
    images : tuple of pathlib.Path
        What was written of it: a file, or one for each channel of a volume in colour.
    is_grey_as_colour : bool
        Whether it was stored in colours, which are all grey, and written as grey.
    files : tuple of pathlib.Path
        Of DICOM, one for each slice in the order of the staged image, or one of several frames.
    frames : tuple of int or None
        The frame of each slice in the one file.
    """

    case: str
    images: tuple[Path, ...]
    is_grey_as_colour: bool
    files: tuple[Path, ...]
    frames: tuple[int, ...] | None


@dataclass(frozen=True)
class Staged:
    """What `staged` gives: a folder of images, and what was found."""

    folder: Path
    series: list[StagedSeries] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def holds_dicom(location: Path) -> bool:
    """Tell whether a folder, or a file, holds DICOM and no other images.

    Raises
    ------
    UserError
        It holds both.
    """
    dicom = dicom_files(location)
    if not dicom or location.is_file():
        return bool(dicom)
    for path in files_below(location):
        if image_ending(path, ENDINGS + JPEG_ENDINGS):
            raise UserError(
                f"{location} holds DICOM, such as {dicom[0]}, and other images, such as {path}; divide them"
            )
    return True


@contextlib.contextmanager
def staged(location: Path, near: Path, *, irregular: bool = False) -> Iterator[Staged]:
    """Write each series as NIfTI, or PNG of images without a size, into a folder that is removed behind the block.

    Parameters
    ----------
    location : pathlib.Path
        Folder of series, in whatever order and depth, or one file.
    near : pathlib.Path
        Folder beside which the files are written, whose disk will hold what is made of them, too.
    irregular : bool
        See `read_series`.

    Raises
    ------
    UserError
        There is no image, or some series cannot be used; the message tells of all.
    """
    series, others = find_series(location)
    if not series:
        raise UserError(f"{location} holds no DICOM image, but {others} other objects")
    near.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=near.parent))
    try:
        result = Staged(folder)
        # Beside others, series of localizers alone are there to find these.
        localizers = [one for one in series if all(instance.is_localizer for instance in one.instances)]
        if len(localizers) < len(series):
            series = [one for one in series if one not in localizers]
        else:
            localizers = []
        faults, without_size, without_place = Faults(), 0, 0
        cases: dict[str, Series] = {}
        for one in series:
            if (other := cases.setdefault(_case_of(one), one)) is not one:
                raise UserError(f"{other.shown} and {one.shown} would both be {_case_of(one)}; rename a folder")
        for one in series:
            with faults.caught():
                read = _read(one, irregular)
                without_size += read.spacing_from == "none"
                without_place += read.image.n_axes == 3 and not read.image.affines
                result.series.append(_stage(one, read, folder))
        faults.tell(str(location))
        if others:
            result.notes.append(f"passed over {others} DICOM objects that are no images")
        if localizers:
            result.notes.append(f"passed over {len(localizers)} series of localizers, such as {localizers[0].shown}")
        if without_place:
            result.notes.append(f"{without_place} of {len(series)} DICOM images hold frames without a place in space")
        if without_size:
            result.notes.append(f"{without_size} of {len(series)} DICOM images state no size of a pixel in mm")
        yield result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _case_of(series: Series) -> str:
    return series.name.replace("/", "_")


def _read(series: Series, irregular: bool) -> DicomImage:
    try:
        return read_series(series, irregular=irregular)
    except ImageFault as fault:
        raise UserError(fault.of(series.shown)) from fault


def _stage(series: Series, read: DicomImage, folder: Path) -> StagedSeries:
    image, case = read.image, _case_of(series)
    values = image.values
    is_grey_as_colour = len(values) == 3 and bool((values[1:] == values[:1]).all())
    if is_grey_as_colour:
        # Screens and ultrasound store grey as colours.
        values = values[:1]
    image = StoredImage(values, image.n_axes, image.spacing, image.affines)
    if image.n_axes == 2 and (image.spacing is None or len(values) == 3):
        ending = ".png" if values.dtype in _PNG_TYPES else ".tif"
        flat = values[0, 0] if len(values) == 1 else np.moveaxis(values[:, 0], 0, -1)
        contents = {f"{case}{ending}": encoded(flat, ending)}
    else:
        several = len(values) > 1
        contents = {}
        for number, channel in enumerate(values):
            one = StoredImage(channel[None], image.n_axes, image.spacing, image.affines)
            name = f"{case}_{number:04d}.nii.gz" if several else f"{case}.nii.gz"
            # Soon read again, and removed.
            contents[name] = gzip.compress(nifti_of(one).to_bytes(), compresslevel=1, mtime=0)
    newest = max(path.stat().st_mtime_ns for path in read.files)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        # What is made of it is as old as the series, so that a command given again can tell what is there already.
        os.utime(folder / name, ns=(newest, newest))
    images = tuple(folder / name for name in contents)
    return StagedSeries(case, images, is_grey_as_colour, read.files, read.frames)
