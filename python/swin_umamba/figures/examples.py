"""One case of a data set with its reference and prediction, as 2-D pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.text import distinct

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

CLIPPED_PERCENT = 0.5


@dataclass(frozen=True)
class Example:
    """A 2-D image, or one slice of a volume, with its labels.

    Attributes
    ----------
    channels : dict of str to numpy.ndarray
        RGB pictures (H, W, 3), float in [0, 1], by the name of the channel; one picture for a colour image.
    reference, prediction : numpy.ndarray
        Integer label images (H, W).
    pixel_aspect : float
        Height of a pixel divided by its width.
    slice_index : int or None
        Which slice of the volume, counted from 0; ``None`` for a 2-D image.
    """

    channels: dict[str, np.ndarray]
    reference: np.ndarray
    prediction: np.ndarray
    pixel_aspect: float = 1.0
    slice_index: int | None = None


def find_reader(description: Mapping[str, Any], image: Path) -> BaseReaderWriter:
    """nnU-Net's reader for the files of a data set.

    Parameters
    ----------
    description
        The content of ``dataset.json``.
    image
        A file of the data set, to choose among readers of the same file ending.

    Raises
    ------
    RuntimeError
        No reader can read it.
    """
    # Imported here: nnU-Net takes seconds to import.
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    from ..common.images.nnunet_readers import register_readers

    register_readers()
    return determine_reader_writer_from_dataset_json(dict(description), str(image), verbose=False)()


def read_example(
    images: Sequence[Path], label: Path, prediction: Path, channel_names: Sequence[str], reader: BaseReaderWriter
) -> Example:
    """Read a case; of a volume, the slice with the most labelled pixels in the reference, else in the prediction.

    Parameters
    ----------
    images
        One file for each channel, or one file with all of them. One file with three channels is a colour image.
    label, prediction
        The label images.
    channel_names
        Names of the channels, for instance of the MR sequences.
    reader
        nnU-Net's reader for these files.

    Raises
    ------
    ValueError
        Image, reference and prediction differ in size.
    """
    image, properties = reader.read_images([str(path) for path in images])
    reference_volume = reader.read_seg(str(label))[0][0]
    prediction_volume = reader.read_seg(str(prediction))[0][0]
    if not image.shape[1:] == reference_volume.shape == prediction_volume.shape:
        raise ValueError(
            f"image, reference and prediction must have one size, got {image.shape[1:]}, {reference_volume.shape} "
            f"and {prediction_volume.shape} ({prediction})"
        )
    shown = reference_volume if (reference_volume > 0).any() else prediction_volume
    fullest = int(np.argmax((shown > 0).sum(axis=(1, 2))))
    is_colour = len(images) == 1 and len(image) == 3
    if is_colour:
        channels = {"image": windowed(np.moveaxis(image[:, fullest], 0, -1))}
    else:
        names = list(channel_names) if len(channel_names) == len(image) else [f"channel {i}" for i in range(len(image))]
        pictures = [np.repeat(windowed(channel[fullest])[..., np.newaxis], 3, axis=-1) for channel in image]
        channels = dict(zip(distinct(names), pictures, strict=True))
    return Example(
        channels,
        reference_volume[fullest],
        prediction_volume[fullest],
        pixel_aspect=float(properties["spacing"][-2]) / float(properties["spacing"][-1]),
        slice_index=fullest if len(shown) > 1 else None,
    )


def windowed(picture: np.ndarray) -> np.ndarray:
    """Intensities as [0, 1], the brightest and the darkest half percent clipped."""
    shown = picture.astype(np.float64)
    low, high = np.percentile(shown, (CLIPPED_PERCENT, 100 - CLIPPED_PERCENT))
    clipped: np.ndarray = np.clip((shown - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    return clipped
