"""What an image file holds, in one form for every format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import nibabel


class ImageFault(Exception):
    """A file that is not taken for an image. The message is the reason in one line, without the file's name."""

    def of(self, name: object) -> str:
        """Return the reason with the name of the file."""
        reason = str(self)
        if reason.startswith("it "):
            return f"{name} {reason[3:]}"
        return f"{name}: {reason}" if reason.startswith("its ") else f"{name} cannot be read: {reason}"


# Deflate, the densest of the common codes, packs 1032 bytes into one.
_DENSEST = 1100


def want_whole(path: Path, n_bytes: float, *, packed: bool = True) -> None:
    """Raise `ImageFault` if a header claims more bytes of pixels than the file can hold, before memory is taken."""
    size = os.path.getsize(path)
    if n_bytes > (_DENSEST * size + 4096 if packed else size):
        raise ImageFault(f"it claims {n_bytes:.4g} bytes of pixels, more than its {size} bytes can hold")


_LARGEST_SHEAR = np.sin(np.radians(10))
_SIZE_TOLERANCE = 0.01


def want_grid(
    axes: np.ndarray, spacing: Sequence[float], shape: Sequence[int], size_field: str, place_field: str
) -> None:
    """Raise `ImageFault` if the axes that a header states have other lengths than its spacing, or are sheared.

    Parameters
    ----------
    axes : numpy.ndarray
        Steps to the next voxel along x, y (and z), as columns. Those along which there is one voxel are free.
    spacing, shape : sequence
        Size of a voxel in the unit of ``axes``, and number of voxels, along the same.
    size_field, place_field : str
        What the format calls the two.
    """
    long = [axis for axis, size in enumerate(shape) if size > 1]
    wanted, columns = [spacing[axis] for axis in long], axes[:, long]
    sizes = np.linalg.norm(columns, axis=0)
    if not np.allclose(sizes, wanted, rtol=_SIZE_TOLERANCE, atol=0):
        raise ImageFault(
            f"its header states two sizes of a voxel, {_shown(wanted)} ({size_field}) and {_shown(sizes)} "
            f"({place_field}); set the wrong one right"
        )
    cosines = np.abs((columns / sizes).T @ (columns / sizes) - np.eye(len(long)))
    if cosines.max(initial=0) > _LARGEST_SHEAR:
        angle = np.degrees(np.arcsin(min(1.0, cosines.max())))
        raise ImageFault(
            f"its axes are {angle:.0f}° off from perpendicular ({place_field}); resample it to a grid without shear"
        )


def _shown(sizes: Iterable[float]) -> str:
    return " × ".join(f"{size:.6g}" for size in sizes)


@dataclass(frozen=True)
class StoredImage:
    """The pixels of an image as they are stored, and where they lie; docs/images.md has the rules.

    Attributes
    ----------
    values : numpy.ndarray
        (C, Z, H, W), of any real type: channels, slices, rows, columns. Z is 1 for a 2-D image.
    n_axes : int
        2 for a 2-D image, 3 for a volume, which may have a single slice.
    spacing : tuple of float or None
        Size of a pixel along x, y (and z) in mm, positive; ``None`` where the format has none.
    affines : tuple of numpy.ndarray
        (4, 4) matrices from pixel index (x, y, z) to mm (right, anterior, superior), the preferred one first: NIfTI may
        hold two. Empty where the file has no position.
    white : int or None
        The largest value that the pixels could have, 255 for 8 bits; ``None`` where that is not told.
    header : nibabel.Nifti1Header, optional
        Header of a NIfTI file, from which a label image on the same grid gets its own.
    """

    values: np.ndarray
    n_axes: int
    spacing: tuple[float, ...] | None = None
    affines: tuple[np.ndarray, ...] = ()
    white: int | None = None
    header: nibabel.Nifti1Header | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.values.size == 0:
            raise ImageFault(f"it is empty, of shape {self.values.shape}")
        if not (np.issubdtype(self.values.dtype, np.number) or self.values.dtype == bool) or np.iscomplexobj(
            self.values
        ):
            raise ImageFault(f"it holds values of type {self.values.dtype}; real numbers are wanted")


_LARGEST_SQUARED = 1e15
"""Above it, sums of squares in float32 overflow in images of a usual size."""

_LEAST_DEVIATION = 1e-8
"""nnU-Net divides by the standard deviation, or by this where it is less."""


COLOURS = "rgb_to_0_1"
"""What a channel is named whose values nnU-Net divides by 255."""


def unusable_values(values: np.ndarray, names: Sequence[str] = ()) -> str | None:
    """Tell which values of an image leave nothing of a channel after normalisation; ``None`` without such.

    One value, as of an image without any content, is usable.

    Parameters
    ----------
    values
        (C, ...), of any real type.
    names
        Of the channels, where they are known.
    """
    named = names if len(names) == len(values) else [""] * len(values)
    return next(filter(None, map(_unusable_channel, values, named)), None)


def _unusable_channel(values: np.ndarray, name: str) -> str | None:
    low, high = values.min().item(), values.max().item()
    if not (np.isfinite(low) and np.isfinite(high)):
        return "NaN or infinite values; replace them"
    if abs(extreme := max(low, high, key=abs)) > _LARGEST_SQUARED:
        return f"the value {extreme:.4g}, as where nothing was measured, and normalisation loses all others; replace it"
    if name.lower() == COLOURS:
        # Those that are in [0, 1] already, nnU-Net would divide as well.
        divided = high <= 1 and bool((values % 1).any())
        if divided or low < 0 or high > 255:
            return f"values from {low:.4g} to {high:.4g}, where {COLOURS!r} wants 0 to 255; store them so"
        return None
    if told := coarse_in_float32(values):
        return told
    # Twice the largest standard deviation that there can be.
    if 0 < high - low < 2 * _LEAST_DEVIATION and not _is_one_value(low, high):
        return f"values from {low:.4g} to {high:.4g}, so close that normalisation takes them for one; multiply them"
    return None


_FEWEST_STEPS = 128
"""Of float32 between the darkest and the brightest value, in which images are computed."""


def coarse_in_float32(values: np.ndarray) -> str | None:
    """Tell which values of a channel are as good as one in float32, as 2³¹ and 2³¹ + 100; ``None`` without such."""
    if values.dtype.itemsize < 4 or values.dtype == np.float32:
        return None
    low, high = values.min().item(), values.max().item()
    largest = max(abs(low), abs(high))
    if not largest < _LARGEST_SQUARED:
        return None
    is_whole = values.dtype.kind in "iu"
    if largest <= _LARGEST_EXACT if is_whole else _is_one_value(low, high):
        return None
    if not 0 < high - low < _FEWEST_STEPS * float(np.spacing(np.float32(largest))):
        return None
    return f"values from {low} to {high}, whose differences float32 loses; subtract a constant from them"


def _is_one_value(low: float, high: float) -> bool:
    """Whether values of float64 differ by its rounding alone, as after resampling an image of one value."""
    return high - low <= 2**-45 * max(abs(low), abs(high)) and bool(np.float32(low) == np.float32(high))


_LARGEST_EXACT = 2**24
"""Up to which float32 has all whole numbers."""

_MOST_ROUNDED = 0.05
"""A few times the rounding of the largest label of 16 bits. By that of larger numbers, as of cells, any is whole."""


def as_labels(values: np.ndarray) -> np.ndarray:
    """Return the whole numbers that values stand for.

    Floating values are rounded where they differ from whole numbers by no more than the rounding of float32, as those
    of masks that a header scales by 1/255 do.

    Raises
    ------
    ImageFault
        They are no labels: negative, not whole, not finite.
    """
    if values.dtype == bool:
        return values.astype(np.uint8)
    if np.issubdtype(values.dtype, np.floating):
        if values.dtype.itemsize == 2:  # whose largest number is below the bound
            values = values.astype(np.float32)
        exact = np.abs(values) <= _LARGEST_EXACT  # nor is NaN
        tolerance = 4 * np.finfo(np.float32).eps * max(1.0, float(np.abs(values[exact]).max(initial=0)))
        whole = np.rint(np.where(exact, values, 0))
        # A cast would make other labels of resampled (interpolated) masks without a word.
        odd = ~exact | ~(np.abs(np.where(exact, values, 0) - whole) <= min(tolerance, _MOST_ROUNDED))
        if odd.any():
            raise ImageFault(
                f"it holds the label {values[odd][0]}; labels are whole numbers of at least 0, of an integer type"
            )
        values = whole.astype(np.int64)
    if values.min() < 0:
        raise ImageFault(f"it holds the label {values.min()}; labels are whole numbers of at least 0")
    return values
