"""PNG, BMP, JPEG and TIFF: pixels as they are stored, without a size in mm."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageFile

from ..console import heard_errors
from .checksums import want_png_checksums
from .formats import LOSSY, TIFF_ENDINGS
from .stored import ImageFault, StoredImage, want_whole

LARGEST_PIXELS = 2**32
"""More pixels than an image may have; a smaller one is read where memory allows."""

# Pillow's own bound of 179 megapixels is below the size of slides and mosaics.
Image.MAX_IMAGE_PIXELS = None

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_GREY, _PNG_COLOUR = 0, 2
_TIFF_MASK = 4
"""In the kind of a page: which pixels of another page are valid."""
PILLOW_FORMATS = ("PNG", "BMP", "DIB", "JPEG")
"""For others, as PostScript, Pillow would start another program."""

_ONE_IMAGE = "write each into its own file"


def read_plain(path: Path, *, labels: bool, strict: bool = True) -> StoredImage:
    """Read the one image of a file.

    Parameters
    ----------
    path
        PNG, BMP, JPEG or TIFF.
    labels
        Whether it is a label image: a palette's indices are its values, where those of an image are its colours.
    strict
        Whether to refuse what programs read in more than one way, as turned images; else it is taken as stored.

    Raises
    ------
    ImageFault
        It holds several images, or says something about its pixels that cannot be followed.
    """
    if path.name.lower().endswith(TIFF_ENDINGS):
        return _read_tiff(path, labels, strict)
    with open(path, "rb") as file:
        head = file.read(30)
    png = head.startswith(_PNG_START) and len(head) >= 26
    depth = head[24] if png else 8
    with Image.open(path, formats=PILLOW_FORMATS) as image:
        _check_size(image.width * image.height, path)
        if png:
            want_png_checksums(path)
        if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
            raise ImageFault(f"it holds {frames} images; {_ONE_IMAGE}")
        if labels and image.format in ("JPEG", "MPO"):
            raise ImageFault(LOSSY)
        orientation = _orientation(image)
        if strict and orientation not in (0, 1):
            raise ImageFault(_turned(orientation))
        if depth == 16 and image.mode not in ("I;16", "I"):
            # Pillow gives the upper eight bits of colours alone.
            import imagecodecs

            with heard_errors():
                array = imagecodecs.png_decode(path.read_bytes())
            # A colour that is to be shown as transparent makes no fourth channel of it, as with 8 bits.
            return _image(array[..., :3] if head[25] == _PNG_COLOUR else array, 2**16 - 1)
        if image.format in ("BMP", "DIB") and (found := _grey_of_bmp(image, head)) is not None:
            return found
        if labels and image.mode in ("P", "1", "L"):
            array = np.asarray(image)
        elif image.mode == "P":
            array = np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
        elif image.mode == "CMYK":
            if strict:  # each program makes other colours of them, by a profile or by none
                raise ImageFault("its pixels are CMYK colours; store it in grey or RGB")
            array = np.asarray(image.convert("RGB"))
        else:
            array = np.asarray(image)
    if png and depth in (2, 4) and head[25] == _PNG_GREY:
        # Pillow stretches them to 255.
        white = 2**depth - 1
        return _image(array // (255 // white), white)
    return _image(array, 1 if array.dtype == bool else {np.uint8: 255, np.uint16: 2**16 - 1}.get(array.dtype.type))


def _grey_of_bmp(image: ImageFile.ImageFile, head: bytes) -> StoredImage | None:
    """The indices of a palette that Pillow takes for grey, though it unpacks them as if they had 1 or 8 bits."""
    start = 14 if image.format == "BMP" else 0
    bits = head[start + (10 if head[start] == 12 else 14)]
    if (image.mode, bits) not in (("1", 4), ("1", 8), ("L", 4)):
        return None
    black_and_white = image.mode == "1"
    image._mode = "L"
    is_stretched = bits == 4 and image.tile[0].codec_name == "raw"
    image.tile = [
        tile._replace(args=("L;4" if is_stretched else "L", *tuple(tile.args or ())[1:])) for tile in image.tile
    ]
    array = np.asarray(image) // (17 if is_stretched else 1)
    return _image(array > 0, 1) if black_and_white and array.max() <= 1 else _image(array, 255)


def _image(array: np.ndarray, white: int | None) -> StoredImage:
    """(H, W) or (H, W, C) as an image."""
    array = array[..., None] if array.ndim == 2 else array
    return StoredImage(np.moveaxis(array, -1, 0)[:, None], 2, white=white)


def _check_size(n_pixels: int, path: Path, bytes_each: float = 0.125) -> None:
    if n_pixels > LARGEST_PIXELS:
        raise ImageFault(f"it has {n_pixels} pixels; {LARGEST_PIXELS} are the most that are read")
    want_whole(path, n_pixels * bytes_each)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    # Damaged notes about an image say nothing about it.
    except Exception:
        return 1


def _turned(orientation: int) -> str:
    return (
        f"it is stored turned or mirrored (orientation {orientation}), which some programs follow and others do not; "
        f"store it upright"
    )


def _read_tiff(path: Path, labels: bool, strict: bool) -> StoredImage:
    _want_whole_tiff(path)
    with tifffile.TiffFile(path) as file:
        series = [one for one in file.series if not (one.keyframe.is_reduced or one.keyframe.subfiletype & _TIFF_MASK)]
        if not series:
            raise ImageFault("it holds no image")
        for one in series:
            _check_page(one.keyframe, labels, strict)
            _check_size(int(np.prod(one.shape)), path, one.dtype.itemsize if one.dtype.itemsize > 1 else 0.125)
        first = series[0]
        sizes = {(one.shape, one.axes, one.dtype) for one in series}
        if len(sizes) > 1 or (len(series) > 1 and _slices(first.axes, first.shape) > 1):
            shown = " and ".join(sorted({str(one.shape) for one in series})[:2])
            raise ImageFault(f"it holds {len(series)} images, of the sizes {shown}; {_ONE_IMAGE}")
        size = os.path.getsize(path)
        for page in (page for one in series for page in one.pages):
            if page is None or any(a + n > size for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)):
                raise ImageFault("it is cut off: pixels are missing")
        # Pages that were appended one by one make a stack, as those do that were written at once.
        array = _ordered(first) if len(series) == 1 else np.concatenate([_ordered(one) for one in series], axis=1)
        if len(series) > 1 and len(array) > 1:
            raise ImageFault(f"it holds {len(series)} images of {len(array)} channels each; {_ONE_IMAGE}")
        keyframe = first.keyframe
        if strict and keyframe.photometric == tifffile.PHOTOMETRIC.PALETTE and not labels:
            _want_ramp(keyframe)
    white = 2**keyframe.bitspersample - 1 if array.dtype.kind in "bu" else None
    return StoredImage(array, 2 if array.shape[1] == 1 else 3, white=white)


def _want_whole_tiff(path: Path) -> None:
    """Follow the chain of a TIFF file's pages, of which tifffile reads those before the first that is missing."""
    with open(path, "rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        is_big = order is not None and head[2:4] == struct.pack(f"{order}H", 43)
        count, entry, offset = ("Q", 20, "Q") if is_big else ("H", 12, "I")
        if order is None or len(head) < 16:
            raise ImageFault("not a TIFF file, or cut off")
        seen: set[int] = set()
        (at,) = struct.unpack_from(f"{order}{offset}", head, 8 if is_big else 4)
        while at:
            if at in seen:
                raise ImageFault("its pages follow each other in a circle")
            seen.add(at)
            file.seek(at)
            content = file.read(struct.calcsize(count))
            if len(content) == struct.calcsize(count):
                file.seek(struct.unpack(f"{order}{count}", content)[0] * entry, os.SEEK_CUR)
            content = file.read(struct.calcsize(offset))
            if len(content) < struct.calcsize(offset):
                raise ImageFault("it is cut off: a page is missing")
            (at,) = struct.unpack(f"{order}{offset}", content)


def _slices(axes: str, shape: tuple[int, ...]) -> int:
    return int(np.prod([size for axis, size in zip(axes, shape, strict=True) if axis not in "YXSC"], initial=1))


def _ordered(series: tifffile.TiffPageSeries) -> np.ndarray:
    """The pixels of a series as (C, Z, H, W)."""
    array, axes = series.asarray(), series.axes
    for axis in reversed(range(array.ndim)):
        if array.shape[axis] == 1 and axes[axis] not in "YX":
            array, axes = array.squeeze(axis), axes[:axis] + axes[axis + 1 :]
    channels = [axis for axis, name in enumerate(axes) if name in "SC"]
    if len(channels) == 1:
        array, axes = np.moveaxis(array, channels[0], 0), axes.replace(axes[channels[0]], "")
    if len(channels) > 1 or len(axes) > 3 or axes[-2:] != "YX":
        raise ImageFault(
            f"it has the axes {series.axes} of sizes {series.shape}, where an image has height, width and "
            f"channels and a volume slices; write each slice and channel into its own file"
        )
    array = array if channels else array[None]
    if len(axes) == 3 and channels:
        raise ImageFault(
            f"it has the axes {series.axes} of sizes {series.shape}, both slices and channels; write each into its "
            f"own file"
        )
    return array if len(axes) == 3 else array[:, None]


def _check_page(page: tifffile.TiffPage, labels: bool, strict: bool) -> None:
    """Refuse what the tags say about pixels that programs read in more than one way."""
    orientation = page.tags.valueof("Orientation", 1)
    if strict and orientation not in (0, 1):
        raise ImageFault(_turned(int(orientation)))
    is_jpeg = page.compression in (tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG)
    if is_jpeg and labels:
        raise ImageFault(LOSSY)
    photometric = page.tags.valueof("PhotometricInterpretation", tifffile.PHOTOMETRIC.MINISBLACK)
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and strict:
        raise ImageFault("its tag says that 0 is white, which some programs follow and others do not; store 0 as black")
    plain = (
        tifffile.PHOTOMETRIC.MINISWHITE,
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.PALETTE,
    )
    if photometric not in plain and not (photometric == tifffile.PHOTOMETRIC.YCBCR and is_jpeg):
        name = getattr(photometric, "name", photometric)
        raise ImageFault(f"its pixels are {name} colours; store it in grey or RGB")


def _want_ramp(page: tifffile.TiffPage) -> None:
    """Take the palette of an image for a display's look-up table only where brighter pixels have higher values."""
    if (np.diff(np.asarray(page.colormap).astype(np.int64), axis=1) < 0).any():
        raise ImageFault("its pixels are indices of a palette of colours; store it in grey or RGB")
