"""The image objects below a folder, by what their headers say."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UserError, last_line
from ..formats import ENDINGS, JPEG_ENDINGS, files_below, image_ending

if TYPE_CHECKING:
    from pydicom import Dataset

ENDINGS_OF_DICOM = (".dcm", ".dicom", ".ima")
_NO_IMAGES = ("SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG")
"""Modalities of objects that are made of images, though some of them have pixels."""


@dataclass(frozen=True)
class Instance:
    """An image object; nothing of it tells of the patient.

    Attributes
    ----------
    path : pathlib.Path
        Its file.
    series, uid : str
        ``SeriesInstanceUID`` and ``SOPInstanceUID``.
    owner : int
        Tells those of other patients and studies apart, and nothing else.
    number : int
        ``SeriesNumber``, 0 where there is none.
    modality : str
        Such as CT.
    size : tuple of int
        Rows and columns.
    n_frames : int
        1 of most objects.
    orientation, position : tuple of float or None
        ``ImageOrientationPatient`` and ``ImagePositionPatient``.
    is_localizer : bool
        Whether it says that it is one.
    """

    path: Path
    series: str
    uid: str
    owner: int
    number: int
    modality: str
    size: tuple[int, int]
    n_frames: int
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    is_localizer: bool

    @property
    def is_slice(self) -> bool:
        """Whether it is one slice of a series, and no image of its own."""
        return self.n_frames == 1 and self.position is not None and self.orientation is not None

    @property
    def normal(self) -> np.ndarray:
        """The direction that is perpendicular to a slice."""
        assert self.orientation is not None  # see is_slice
        return np.cross(self.orientation[:3], self.orientation[3:])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let pydicom and its like say nothing: their warnings repeat elements, of which some tell of the patient."""
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def require_pydicom() -> None:
    """Raise `UserError` that names the extra, unless pydicom is installed."""
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise UserError(
            "the images are DICOM, for which the extra is needed: pip install 'swin-umamba[dicom]'"
        ) from None


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM, by its ending or else by the four letters after the preamble."""
    if path.name.lower().endswith(ENDINGS_OF_DICOM):
        return True
    if image_ending(path, ENDINGS + JPEG_ENDINGS) is not None or path.name.upper() == "DICOMDIR":
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def dicom_files(location: Path) -> list[Path]:
    """Return the DICOM files in and below a folder, sorted, or the one file that is given."""
    if location.is_file():
        return [location] if is_dicom(location) else []
    return [path for path in files_below(location) if is_dicom(path)]


def read_instances(paths: list[Path]) -> tuple[list[Instance], int]:
    """Read the headers of files: the image objects, and how many others there are.

    Raises
    ------
    UserError
        A file cannot be read as DICOM.
    """
    require_pydicom()
    import pydicom

    instances, others = [], 0
    for path in paths:
        try:
            with quiet():
                instance = _instance(path, pydicom.dcmread(path, stop_before_pixels=True, force=True))
        # pydicom raises whatever a damaged element leads to, which is no closed list.
        except Exception as error:
            raise UserError(f"{path} cannot be read as DICOM: {last_line(error)}") from error
        if instance is None:
            others += 1
        else:
            instances.append(instance)
    return instances, others


def _instance(path: Path, header: Dataset) -> Instance | None:
    modality = str(header.get("Modality", "") or "")
    if "DirectoryRecordSequence" in header:
        return None
    if "SOPClassUID" not in header and "Rows" not in header:
        raise ValueError("it has no elements of an image")
    if "Rows" not in header or "Columns" not in header or modality in _NO_IMAGES:
        return None
    return Instance(
        path,
        str(header.get("SeriesInstanceUID", "") or path),
        str(header.get("SOPInstanceUID", "") or path),
        hash(tuple(str(header.get(name, "")) for name in ("PatientID", "PatientName", "StudyInstanceUID"))),
        int(header.get("SeriesNumber", 0) or 0),
        modality or "image",
        (int(header.Rows), int(header.Columns)),
        int(header.get("NumberOfFrames", 1) or 1),
        numbers(header.get("ImageOrientationPatient"), 6),
        numbers(header.get("ImagePositionPatient"), 3),
        "LOCALIZER" in (header.get("ImageType") or ()),
    )


def numbers(value: object, count: int) -> tuple[float, ...] | None:
    """Return an element of several numbers, ``None`` where it is absent, empty or not of that many."""
    found = tuple(float(one) for one in value) if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else ()
    return found if len(found) == count and bool(np.isfinite(found).all()) else None
