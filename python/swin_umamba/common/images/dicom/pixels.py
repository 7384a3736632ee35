"""Pixels of one object: decoded, of their own sign and bits, dark to bright, in the unit of the modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..stored import ImageFault

if TYPE_CHECKING:
    from pydicom import Dataset

_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_EXTENDED_JPEG = "1.2.840.10008.1.2.4.51"


def read_frames(dataset: Dataset) -> np.ndarray:
    """Return the stored pixels of an object, (F, H, W) or (F, H, W, 3) of colours, those of MONOCHROME1 inverted.

    Raises
    ------
    ImageFault
        They cannot be decoded.
    """
    n_frames = int(dataset.get("NumberOfFrames", 1) or 1)
    photometric = str(dataset.PhotometricInterpretation)
    array = _decode(dataset, n_frames)
    if photometric == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        tables = _tables_of_16_bits(dataset)
        array = apply_color_lut(array, dataset)
        if array.dtype == np.uint16:
            # Tables of 16 bits hold colours of 8 bits in their upper half, but for those that were written otherwise.
            are_small = bool(tables) and max(int(table.max(initial=0)) for table in tables) < 256
            array = (array if are_small else array >> 8).astype(np.uint8)
    shape = (n_frames, int(dataset.Rows), int(dataset.Columns))
    array = array.reshape(*shape, -1)
    if array.shape[-1] not in (1, 3):
        raise ImageFault(f"it has {array.shape[-1]} values a pixel; 1 or 3 are wanted")
    if array.shape[-1] == 3:
        return array
    array = _signed(array[..., 0], dataset)
    if photometric == "MONOCHROME1":
        # As GDCM: over the whole range that the bits could have.
        bits = int(dataset.BitsStored)
        array = (-1 if dataset.PixelRepresentation else 2**bits - 1) - array
    return array


def _tables_of_16_bits(dataset: Dataset) -> list[np.ndarray]:
    """Red, green and blue of a palette that is stored so, now in the order of bytes in which pydicom reads them."""
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if not (descriptor := dataset.get(f"{names[0]}Descriptor")):
        return []
    # Where 2**16 entries do not fit, 0 stands for them.
    n_entries = int(descriptor[0]) or 2**16
    if any(len(dataset.get(f"{name}Data") or b"") != 2 * n_entries for name in names):
        return []
    is_big_endian = dataset.original_encoding[1] is False
    tables = [np.frombuffer(dataset[f"{name}Data"].value, ">u2" if is_big_endian else "<u2") for name in names]
    for name, table in zip(names, tables, strict=True):
        dataset[f"{name}Data"].value = table.astype("=u2").tobytes()
    return tables


def _decode(dataset: Dataset, n_frames: int) -> np.ndarray:
    if not hasattr(dataset, "file_meta") or not dataset.file_meta.get("TransferSyntaxUID"):
        # Without the part of a file that says so: unpacked, in the encoding by which its elements were read.
        from pydicom.dataset import FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

        dataset.file_meta = FileMetaDataset()
        is_implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if _high_bit(dataset) != dataset.get("BitsStored", 1) - 1:
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            raise ImageFault(
                f"its packed pixels have {dataset.BitsStored} bits up to bit {_high_bit(dataset)} (HighBit), which "
                f"programs read in several ways; store it unpacked"
            )
        # pydicom looks at the number of bits alone, and would drop the upper ones.
        stored = dataset.BitsStored
        dataset.BitsStored = _high_bit(dataset) + 1
        array = dataset.pixel_array
        dataset.BitsStored = stored
        return array
    if syntax in _LOSSLESS_JPEG or (syntax == _EXTENDED_JPEG and int(dataset.BitsStored) > 8):
        # The decoders that pydicom finds in Python's usual packages do not know them.
        import imagecodecs
        from pydicom.encaps import generate_frames

        decode = imagecodecs.jpeg8_decode if syntax == _EXTENDED_JPEG else imagecodecs.ljpeg_decode
        return np.stack([decode(frame) for frame in generate_frames(dataset.PixelData, number_of_frames=n_frames)])
    return dataset.pixel_array


def _high_bit(dataset: Dataset) -> int:
    # Floating pixels state no bits.
    bits, allocated = int(dataset.get("BitsStored", 1)), int(dataset.BitsAllocated)
    found = dataset.get("HighBit")
    if found is None or bits == allocated:
        return bits - 1
    if not bits - 1 <= int(found) < allocated:
        raise ImageFault(
            f"its pixels have {bits} of {allocated} bits up to bit {found} (HighBit), where these have no room; set it "
            f"to {bits - 1} if they begin at the lowest"
        )
    return int(found)


def _signed(array: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Values of their own bits alone: others may hold overlays, and not the sign."""
    if array.dtype.kind not in "iu":
        return array
    bits, high = int(dataset.BitsStored), _high_bit(dataset)
    signed = bool(dataset.PixelRepresentation)
    width = 8 * array.dtype.itemsize
    values = array.view(array.dtype.str.replace("i" if not signed else "u", "u" if not signed else "i"))
    if bits < width:
        # To the upper end and back: the sign is repeated, what is above is lost.
        values = (values << (width - 1 - high)) >> (width - bits)
    # Room for the inverse of unsigned values, too.
    return values.astype(np.int64 if width > 16 else np.int32 if width > 8 or signed else np.int16)


def rescaled(frames: np.ndarray, rules: Sequence[tuple[float, float]]) -> np.ndarray:
    """Apply slope and intercept of each slice: whole numbers stay such where nothing makes others of them.

    Parameters
    ----------
    frames : numpy.ndarray
        (Z, H, W).
    rules : sequence of (float, float)
        Slope and intercept of each.
    """
    whole = all(slope == 1 and float(intercept).is_integer() for slope, intercept in rules)
    if whole and frames.dtype.kind in "iu":
        values = frames + np.array([intercept for _, intercept in rules], dtype=np.int64)[:, None, None]
        low, high = int(values.min()), int(values.max())
        kinds = (np.uint8, np.int16, np.uint16, np.int32)
        fits = (kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
        return values.astype(next(fits, np.float64))
    pairs = zip(frames, rules, strict=True)
    return np.stack([(frame * slope + intercept).astype(np.float32) for frame, (slope, intercept) in pairs])


def rescale_of(element: Dataset) -> tuple[float, float]:
    """Return slope and intercept of an object, or of a frame's transformation; 1 and 0 where none are stated.

    Raises
    ------
    ImageFault
        The slope is 0 or not finite, or a table of values stands in their place.
    """
    if element.get("ModalityLUTSequence"):
        raise ImageFault("its values are to be looked up in a table (Modality LUT); convert it first")
    slope, intercept = (element.get(name) for name in ("RescaleSlope", "RescaleIntercept"))
    rule = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    if not (np.isfinite(rule).all() and rule[0]):
        raise ImageFault(f"its rescale has the slope {rule[0]:g} and the intercept {rule[1]:g}")
    return rule
