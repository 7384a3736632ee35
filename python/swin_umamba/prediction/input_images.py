"""Reading images for prediction, and the checks that keep a wrong one from a wrong answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

from ..common.errors import last_line
from ..common.images.formats import PLAIN_ENDINGS
from ..common.images.geometry import position_distance
from ..common.images.nnunet_readers import READERS, NaturalImage2DIO, SimpleITKIO
from ..common.images.reading import read_stored
from ..common.images.stored import COLOURS, ImageFault, unusable_values
from .grid import places
from .input_cases import CaseError, InputCase


@dataclass(frozen=True)
class InputImage:
    """One image and how to go on with it.

    Attributes
    ----------
    array : numpy.ndarray
        float32 (C, Z, H, W); Z is 1 for a plain image.
    properties : dict
        What the reader wants back to write a label image on the same grid, and nnU-Net's ``spacing``.
    reader : BaseReaderWriter
        nnU-Net's class that read it.
    slices_are_images : bool
        Whether each slice is an image of its own to the model, as it was trained on plain images.
    """

    array: np.ndarray
    properties: dict[str, Any]
    reader: BaseReaderWriter
    slices_are_images: bool


def choose_reader(trained_with: type[BaseReaderWriter], ending: str) -> BaseReaderWriter:
    """nnU-Net's reader for a file ending, if what it gives is what the model was trained on.

    Parameters
    ----------
    trained_with
        The reader of the training data.
    ending
        Of the files to read.

    Raises
    ------
    CaseError
        The model cannot be used on such files.
    """
    trained_with = next((reader for reader in READERS if reader.__name__ == trained_with.__name__), trained_with)
    if ending in trained_with.supported_file_endings:
        return trained_with()
    if ending in PLAIN_ENDINGS:
        raise CaseError(
            f"{ending} files have no pixel size in mm, and the model was trained on images that have one; convert them "
            f"to NIfTI with their spacing"
        )
    # These have the axes of the file in the same order, and leave them as they are.
    if trained_with.__name__ in ("NaturalImage2DIO", "SimpleITKIO", "NibabelIO"):
        return SimpleITKIO()
    raise CaseError(
        f"the model was trained on images read by {trained_with.__name__}, which reads no {ending} files; convert them "
        f"to {' or '.join(trained_with.supported_file_endings)}"
    )


def read_image(
    case: InputCase, trained_with: type[BaseReaderWriter], n_channels: int, channel_names: Sequence[str] = ()
) -> InputImage:
    """Read all channels of a case.

    Parameters
    ----------
    case
        What to read.
    trained_with
        The reader of the training data.
    n_channels
        Channels of the model.
    channel_names
        Their names, in lower case.

    Raises
    ------
    CaseError
        A file cannot be read, the channels do not belong together, their number is wrong, or values are not finite.
    """
    reader = choose_reader(trained_with, case.ending)
    arrays, geometries = zip(*(_read_file(reader, path) for path in case.files), strict=True)
    for path, array, geometry in zip(case.files[1:], arrays[1:], geometries[1:], strict=True):
        if array.shape[1:] != arrays[0].shape[1:]:
            raise CaseError(
                f"its channels have different sizes: {case.files[0].name} {_size(arrays[0])}, "
                f"{path.name} {_size(array)}"
            )
        spacing, first = np.array(geometry["spacing"], float), np.array(geometries[0]["spacing"], float)
        if not np.allclose(spacing, first, rtol=1e-3, atol=0):
            raise CaseError(
                f"its channels lie elsewhere: {case.files[0].name} has spacing {np.round(first, 4).tolist()}, "
                f"{path.name} {np.round(spacing, 4).tolist()}; resample them to one grid"
            )
        distance = position_distance(array.shape[:0:-1], places(geometries[0]), places(geometry))
        if distance > 0.5 * first.min():
            raise CaseError(
                f"its channels lie elsewhere: {case.files[0].name} and {path.name} are up to {distance:.4g} mm apart "
                f"(another origin or direction); resample them to one grid"
            )
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if len(array) != n_channels and len(case.files) == 1 and case.ending in PLAIN_ENDINGS:
        is_rgb = list(channel_names) in (["r", "g", "b"], ["red", "green", "blue"], [COLOURS] * 3)
        array = _as_stored_for_training(array, case.files[0], n_channels, is_rgb)
    if len(array) != n_channels:
        files = f" in {len(case.files)} files" if len(case.files) > 1 else ""
        raise CaseError(f"it has {len(array)} channels{files}, the model was trained on {n_channels}")
    if len(arrays) == 1:
        arrays = [array]
    for number, (path, channels) in enumerate(zip(case.files, arrays, strict=True)):
        if unusable := unusable_values(channels, channel_names[number : number + len(channels)]):
            what, _, advice = unusable.rpartition("; ")
            raise CaseError(f"it holds {what} ({path.name}); {advice}")
    plain_model = trained_with.__name__ == NaturalImage2DIO.__name__
    return InputImage(array, geometries[0], reader, plain_model and case.ending not in PLAIN_ENDINGS)


def _as_stored_for_training(array: np.ndarray, path: Path, n_channels: int, is_rgb: bool) -> np.ndarray:
    """Channels (C, Z, H, W) of an image as ``prepare folder`` stores it: without opacity, grey once, or as a colour."""
    if len(array) in (2, 4):
        white = read_stored(path).white
        if white is not None and (array[-1] == white).all():
            array = array[:-1]
    if len(array) == 3 and n_channels == 1 and (array[1:] == array[:1]).all():
        return array[:1]
    return np.repeat(array, 3, axis=0) if len(array) == 1 and is_rgb and n_channels == 3 else array


def _read_file(reader: BaseReaderWriter, path: Any) -> tuple[np.ndarray, dict[str, Any]]:
    try:
        image: tuple[np.ndarray, dict[str, Any]] = reader.read_images((str(path),))
        return image
    except ImageFault as fault:
        raise CaseError(fault.of(path.name)) from fault
    # A reader of nnU-Net's own raises whatever its library raises, which is no closed list.
    except Exception as error:
        raise CaseError(f"{path.name} cannot be read: {last_line(error)}") from error


def _size(array: np.ndarray) -> str:
    shape = array.shape[1:]
    return "×".join(str(size) for size in (shape[1:] if shape[0] == 1 else shape))
