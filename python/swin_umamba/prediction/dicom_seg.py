"""Label images of DICOM series as DICOM segmentation objects, by highdicom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import UserError
from ..common.files import replace_atomically
from ..common.images.dicom.instances import quiet
from ..datasets.segment_codes import SegmentCodes
from ..figures.palette import class_colour

if TYPE_CHECKING:
    from pydicom import Dataset

KINDS = ("binary", "labelmap")
_BLANK = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
)
"""What a segmentation repeats of its source, whose file may lack it where it was made anonymous."""

_LONGEST_LABEL = 64
_NAME = "Swin-UMamba"


@dataclass(frozen=True)
class Segment:
    """A label in a segmentation; without ``codes`` it is tissue of an anatomical structure."""

    number: int
    name: str
    colour: str
    codes: SegmentCodes | None = None


def segments_of(labels: Mapping[str, Any], codes: Mapping[str, SegmentCodes] | None = None) -> list[Segment]:
    """Return the segments of the labels in ``dataset.json``, with the colours of this package's pictures.

    Parameters
    ----------
    labels : mapping
        Value of each label by name, or the values of a region.
    codes : mapping, optional
        What labels are, by name.
    """
    names: dict[int, str] = {}
    highest = 0
    for name, value in labels.items():
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        highest = max([highest, *map(int, values)]) if name != "ignore" else highest
        if len(values) == 1 and name not in ("background", "ignore"):
            names[int(values[0])] = name
    named = ((number, names.get(number, f"label {number}")) for number in range(1, highest + 1))
    return [
        Segment(number, name[:_LONGEST_LABEL], class_colour(number - 1), (codes or {}).get(name))
        for number, name in named
    ]


def require_highdicom() -> None:
    """Raise `UserError` that names the extra, unless highdicom is installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise UserError("--dicom-seg needs the extra: pip install 'swin-umamba[dicom]'") from None


def write_dicom_seg(
    path: Path,
    labels: np.ndarray,
    files: tuple[Path, ...],
    frames: tuple[int, ...] | None,
    segments: list[Segment],
    kind: str = "binary",
) -> list[str]:
    """Write a segmentation of one series, whose frames refer to the instances that they lie on.

    Parameters
    ----------
    path : pathlib.Path
        File to write.
    labels : numpy.ndarray
        Integer (Z, H, W).
    files : tuple of pathlib.Path
        Of each slice, or the one file of several frames.
    frames : tuple of int or None
        The frame of each slice in the one file.
    segments : list of Segment
        All that labels may hold, numbered from 1 without gaps.
    kind : str
        One of `KINDS`.

    Returns
    -------
    list of str
        Names of the attributes that the series lacks, which are empty in the segmentation.

    Raises
    ------
    UserError
        The frames follow each other in time, for which such an object has no place.
    """
    import highdicom
    import pydicom
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    with quiet():
        sources = [pydicom.dcmread(file, force=True) for file in files]
    n_frames = int(sources[0].get("NumberOfFrames", 1) or 1)
    if n_frames > 1 and not sources[0].get("PerFrameFunctionalGroupsSequence"):
        raise UserError(f"{files[0]} has {n_frames} frames without a place, for which no DICOM-SEG can be written")
    pixels = labels.astype(np.uint8 if len(segments) < 256 else np.uint16)
    if n_frames > 1:
        assert frames is not None
        # In the order of the source's frames, of which an irregular series may leave out some.
        ordered = np.zeros((n_frames, *pixels.shape[1:]), dtype=pixels.dtype)
        ordered[list(frames)] = pixels
        pixels = ordered
    missing = [name for name in _BLANK if name not in sources[0]]
    for source in sources:
        for name in _BLANK:
            if name not in source:
                setattr(source, name, "")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=_NAME, version=version("swin-umamba"), family=codes.cid7162.ArtificialIntelligence
    )
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=segment.number,
            segment_label=segment.name,
            **_property_of(segment),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=highdicom.color.CIELabColor.from_rgb(*_rgb(segment.colour)),
        )
        for segment in segments
    ]
    with quiet():
        made = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=pixels,
            segmentation_type=kind.upper(),
            segment_descriptions=descriptions,
            series_instance_uid=generate_uid(),
            series_number=_series_number(sources[0]),
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=_NAME,
            manufacturer_model_name=_NAME,
            software_versions=version("swin-umamba"),
            device_serial_number="0",
            series_description=f"{_NAME} segmentation",
            # Readers exist that take the n-th frame of each segment for the n-th slice.
            omit_empty_frames=False,
        )
        with replace_atomically(path) as file:
            made.save_as(file)
    return missing


def _property_of(segment: Segment) -> dict[str, Any]:
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    stated = segment.codes
    kind, category = (stated.type, stated.category) if stated is not None else (None, None)
    return {
        "segmented_property_type": codes.SCT.Tissue if kind is None else Code(kind.value, kind.scheme, kind.meaning),
        "segmented_property_category": codes.SCT.AnatomicalStructure
        if category is None
        else Code(category.value, category.scheme, category.meaning),
    }


def _series_number(source: Dataset) -> int:
    """One that is not the source's, and shows what it belongs to."""
    return int(source.get("SeriesNumber", 0) or 0) % 10**6 * 100 + 1


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue
