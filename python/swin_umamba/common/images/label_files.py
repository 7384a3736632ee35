"""Label images on disk: finding them, pairing them by case, reading them with their geometry."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from .formats import (
    ENDINGS,
    JPEG_ENDINGS,
    LOSSY,
    NIFTI_ENDINGS,
    UNREAD_ENDINGS,
    image_ending,
    is_file_or_lost,
    is_hidden,
)
from .geometry import position_distance
from .reading import read_stored_labels
from .stored import ImageFault


@dataclass(frozen=True)
class LabelImage:
    """A label image and where it lies.

    Attributes
    ----------
    labels : numpy.ndarray
        Integer labels of at least 0: (X, Y, Z) of a volume, (X, Y) of a 2-D NIfTI file, (H, W) of other 2-D images.
    spacing : tuple of float
        Voxel size along each axis of ``labels`` in mm; 1 for plain images, in pixels.
    affines : tuple of numpy.ndarray
        (4, 4) matrices from voxel index (x, y, z) to mm: the places that the file states, see `StoredImage`.
    """

    labels: np.ndarray
    spacing: tuple[float, ...]
    affines: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class CasePair:
    """The reference and the prediction of one case."""

    name: str
    reference: Path
    prediction: Path


def list_label_files(location: Path, suffix: str = "") -> dict[str, Path]:
    """Map case names to the label files of a folder, or of a single file.

    Parameters
    ----------
    location : pathlib.Path
        A folder, whose files of unknown ending are passed over, or one label file.
    suffix : str
        Ending of the bare file names that does not belong to the case's name, such as ``_label``.

    Returns
    -------
    dict
        From case name to path, sorted by name.

    Raises
    ------
    UserError
        There is no such folder or file, it holds no label file, or two files claim one case.
    """
    if not location.exists():
        raise UserError(f"{location} does not exist")
    files = [location] if location.is_file() else sorted(location.iterdir())
    cases: dict[str, Path] = {}
    for path in files:
        ending = image_ending(path)
        if ending is None or is_hidden(path) or not is_file_or_lost(path):
            continue
        name = _case_name(path, ending, suffix)
        if name in cases:
            raise UserError(f"two files claim the case {name}: {cases[name]} and {path}; keep one")
        cases[name] = path
    if not cases:
        if jpeg := [path for path in files if path.name.lower().endswith(JPEG_ENDINGS) and not is_hidden(path)]:
            raise UserError(f"{jpeg[0]}: {LOSSY}")
        raise UserError(f"{location} holds no label image; known endings are {', '.join(ENDINGS)}")
    return cases


def _case_name(path: Path, ending: str, suffix: str) -> str:
    # Systems write one letter with its accent in two ways.
    return unicodedata.normalize("NFC", path.name[: -len(ending)]).removesuffix(suffix)


def _want_all_read(folder: Path, cases: Collection[str], suffix: str) -> None:
    """Refuse a folder of references in which a case has an image of a format alone that is not read."""
    for path in sorted(folder.iterdir()):
        ending = image_ending(path, UNREAD_ENDINGS + JPEG_ENDINGS)
        if ending is not None and not is_hidden(path) and _case_name(path, ending, suffix) not in cases:
            reason = LOSSY if ending in JPEG_ENDINGS else "this format is not read; convert it to PNG, TIFF or NIfTI"
            raise UserError(f"{path} would not be scored: {reason}, or take it out")


def pair_cases(reference: Path, prediction: Path, reference_suffix: str = "") -> tuple[list[CasePair], list[str]]:
    """Pair every reference with the prediction of the same case name.

    Returns
    -------
    pairs : list of CasePair
        One for each reference, sorted by case name.
    without_reference : list of str
        Cases that were predicted but have no reference; they are not scored.

    Raises
    ------
    UserError
        A reference has no prediction or is of a format that is not read, or a folder cannot be listed (see
        `list_label_files`).
    """
    references = list_label_files(reference, reference_suffix)
    if reference.is_dir():
        _want_all_read(reference, references, reference_suffix)
    predictions = list_label_files(prediction)
    if reference.is_file() and prediction.is_file():
        (name,), (path,) = references, predictions.values()
        predictions = {name: path}
    missing = [name for name in references if name not in predictions]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(
            f"{len(missing)} of {len(references)} reference cases have no prediction in {prediction}: {shown}; "
            f"predict them, or leave their references out, so that the mean is over the cases you mean"
        )
    pairs = [CasePair(name, path, predictions[name]) for name, path in references.items()]
    return pairs, [name for name in predictions if name not in references]


def _rows_come_first(image: LabelImage, path: Path) -> bool:
    """A 2-D image has rows and columns in every format but NIfTI; else axes are x, y and z."""
    return image.labels.ndim == 2 and image_ending(path) not in NIFTI_ENDINGS


def read_label_image(path: Path) -> LabelImage:
    """Read a label image with its geometry.

    Raises
    ------
    UserError
        The file cannot be read, is no image of 2 (plain image) or 2 to 3 (volume) dimensions, or holds values that
        are not whole numbers of at least 0.
    """
    try:
        image = read_stored_labels(path)
    except ImageFault as fault:
        raise UserError(fault.of(path)) from fault
    # A 2-D image has rows and columns in every format but NIfTI.
    spacing = image.spacing or (1.0,) * image.n_axes
    if image.n_axes == 3:
        labels = image.values[0].T
    elif image_ending(path) in NIFTI_ENDINGS:
        labels = image.values[0, 0].T
    else:
        labels, spacing = image.values[0, 0], spacing[::-1]
    return LabelImage(labels, spacing, image.affines)


def check_same_grid(
    pair: CasePair, reference: LabelImage, prediction: LabelImage, *, check_position: bool = True
) -> None:
    """Raise `UserError` unless both images have the same pixels, of the same size, at the same place.

    2-D images must both be NIfTI, or both not: their axes come in the order of the format.

    Parameters
    ----------
    pair : CasePair
        Names for the message.
    reference, prediction : LabelImage
        What was read.
    check_position : bool
        Also compare origin and orientation, to half a voxel.
    """
    rows_come_first = _rows_come_first(reference, pair.reference)
    if reference.labels.ndim == 2 and rows_come_first != _rows_come_first(prediction, pair.prediction):
        raise UserError(
            f"case {pair.name}: {pair.reference} and {pair.prediction} are 2-D images of formats that store axes in "
            f"another order; convert one of them"
        )
    if reference.labels.shape != prediction.labels.shape:
        raise UserError(
            f"case {pair.name}: the reference has shape {reference.labels.shape}, the prediction "
            f"{prediction.labels.shape} ({pair.prediction}); resample the prediction to the reference's grid"
        )
    if not np.allclose(reference.spacing, prediction.spacing, rtol=1e-3, atol=0):
        seen = [tuple(round(float(s), 5) for s in image.spacing) for image in (reference, prediction)]
        raise UserError(
            f"case {pair.name}: the reference has spacing {seen[0]}, the prediction {seen[1]} ({pair.prediction}); "
            f"resample the prediction to the reference's grid"
        )
    if check_position:
        shape = reference.labels.shape[::-1] if rows_come_first else reference.labels.shape
        distance = position_distance(shape, reference.affines, prediction.affines)
        if distance > 0.5 * float(min(reference.spacing)):
            raise UserError(
                f"case {pair.name}: the same voxels of reference and prediction lie up to {distance:.4g} mm apart "
                f"(another origin or orientation, {pair.prediction}); if their arrays do match voxel by voxel, pass "
                f"--ignore-position"
            )
