"""Volumes and 2-D images that SimpleITK reads: NRRD, MetaImage, GIPL."""

from __future__ import annotations

import gzip
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK

from ..console import heard_errors
from ..errors import last_line
from ..text import LONGEST_REASON, one_line
from .checksums import want_gzip_checksum, want_zlib_checksum
from .stored import ImageFault, StoredImage, want_grid, want_whole

_READERS = {".nrrd": "NrrdImageIO", ".gipl": "GiplImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""ITK's; asked to choose by itself, it finds none for ``.MHA`` and ``.GIPL``."""

_METAIMAGE = (".mha", ".mhd")
_UNPACKED = "Uncompress failed"
"""What MetaIO prints of packed pixels that are damaged."""

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_itk(path: Path) -> StoredImage:
    """Read a file by SimpleITK.

    Raises
    ------
    ImageFault
        It is no image of 2 or 3 axes with one number a voxel, counts in another unit than mm, or its axes are no grid.
    """
    ending = path.suffix.lower()
    if ending == ".nrrd":
        _want_followed_nrrd(path)
    elif ending in _METAIMAGE:
        _want_followed(path)
    try:
        with heard_errors() as heard:
            image = _executed(path)
    except RuntimeError as error:
        # ITK's own reason is whatever the system last failed with, where a library of its own has given up.
        if ending in _METAIMAGE and last_line(error).startswith("Reason:"):
            raise ImageFault(_metaimage_fault(heard)) from error
        raise
    if any(_UNPACKED in line for line in heard):
        # Of which ITK makes zeros.
        raise ImageFault(_metaimage_fault(heard))
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    n_axes = image.GetDimension()
    if n_axes not in (2, 3) or image.GetNumberOfComponentsPerPixel() > 1:
        shape = SimpleITK.GetArrayViewFromImage(image).shape
        raise ImageFault(
            f"it has shape {shape}; a label image has one channel, and an image one number a voxel along 2 or 3 axes: "
            f"write each channel into its own file, named _0000, _0001, ..."
        )
    affine = np.eye(4)
    affine[:n_axes, :n_axes] = np.reshape(image.GetDirection(), (n_axes, n_axes)) * image.GetSpacing()
    affine[:n_axes, 3] = image.GetOrigin()
    want_grid(affine[:n_axes, :n_axes], image.GetSpacing(), image.GetSize(), "spacing", "direction")
    array = SimpleITK.GetArrayFromImage(image)
    if path.name.lower().endswith(".gipl"):
        # ITK does not say that such a file, a header of 256 bytes and voxels, is cut off.
        want_whole(path, array.nbytes + 256, packed=False)
    return StoredImage(array[(None,) * (4 - array.ndim)], n_axes, image.GetSpacing(), (_TO_RAS @ affine,))


def _executed(path: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[path.suffix.lower()])
    reader.ReadImageInformation()
    # A bit for a voxel, of files that hold their voxels themselves.
    if not path.name.lower().endswith(".mhd"):
        want_whole(path, float(np.prod(reader.GetSize(), dtype=float)) / 8)
    image: SimpleITK.Image = reader.Execute()
    return image


def _metaimage_fault(heard: Sequence[str]) -> str:
    """Make a reason of the lines that MetaIO prints."""
    if not heard or any("data not read completely" in line or _UNPACKED in line for line in heard):
        return "it is cut off, or its pixels cannot be unpacked; fetch it again"
    return f"its header cannot be followed: {one_line(heard[0], LONGEST_REASON).rstrip('.')}"


def _want_followed_nrrd(path: Path) -> None:
    """Refuse what ITK passes over: units, sizes, and what does not fit the checksum that it does not always compare."""
    with open(path, "rb") as file:
        start = file.read(1 << 16)
        end = re.search(rb"\r?\n\r?\n", start)
        head = (start[: end.start()] if end else start).decode("latin-1").replace("\r", "")
        beside = re.search(r"^(?:data ?file|(?:byte|line) ?skip):", head, re.MULTILINE)
        if end and not beside and re.search(r"^encoding: *gz(?:ip)?$", head, re.MULTILINE):
            file.seek(end.end())
            with gzip.GzipFile(fileobj=file) as packed:
                want_gzip_checksum(packed, math.inf)
    stated = re.search(r"^(?:space )?units:(.*)$", head, re.MULTILINE)
    others = (
        [unit for unit in re.findall(r'"([^"]*)"', stated[1]) if unit not in ("mm", "millimeter", "")] if stated else []
    )
    if others:
        raise _other_unit(others[0])
    ranges = re.search(r"^axis ?maxs:", head, re.MULTILINE)
    if ranges and not re.search(r"^(?:spacings|space directions):", head, re.MULTILINE):
        raise ImageFault(
            "its header states the size of a voxel by axis mins and maxs, which ITK passes over; state it as spacings"
        )


def _other_unit(unit: str) -> ImageFault:
    return ImageFault(f"its header counts in {one_line(unit, 40)!r}, which ITK takes for mm; convert it to mm")


def _want_followed(path: Path) -> None:
    """Refuse of a MetaImage what ITK dies of, what it passes over, and pixels that are damaged or not all there."""
    with open(path, "rb") as file:
        head, _, rest = file.read(1 << 16).partition(b"ElementDataFile")
    for number in re.findall(rb"NDims *[=:] *(\S*)", head):
        if not re.fullmatch(rb"[1-9]", number):
            raise ImageFault(f"its header states {one_line(number.decode('latin-1'), 40)} for NDims")
    stated = {key: value.strip() for key, value in re.findall(rb"^(\w+) *[=:] *(.*)$", head, re.MULTILINE)}
    if (unit := stated.get(b"DistanceUnits", b"?")) not in (b"mm", b"", b"?"):
        raise _other_unit(unit.decode("latin-1"))
    for key, nothing in ((b"Slope", 1), (b"Offset", 0)):
        value = stated.get(b"ElementToIntensityFunction" + key, b"")
        if value and float(value) != nothing:
            shown = one_line(f"{key.decode()} {value.decode('latin-1')}", 40)
            raise ImageFault(f"its header scales values ({shown}), which ITK passes over; store them scaled")
    line, _, following = rest.partition(b"\n")
    name = line.lstrip(b" =:").strip()
    is_local = name.upper() == b"LOCAL"
    if is_local and int(stated.get(b"HeaderSize", b"0")) > 0:
        raise ImageFault("its header states a HeaderSize, which ITK follows in a file of its own alone; leave it out")
    pixels = path if is_local else path.parent / os.fsdecode(name)
    if name.startswith(b"LIST") or b"%" in name:
        _want_all_files(stated, name, following)
    elif stated.get(b"CompressedData", b"F")[:1] in b"Tt" and pixels.is_file():
        if is_local and b"CompressedDataSize" not in stated:
            raise ImageFault("its header has no CompressedDataSize, without which ITK unpacks nothing; store it anew")
        before = (
            len(head) + len(b"ElementDataFile") + len(line) + 1 if is_local else int(stated.get(b"HeaderSize", b"0"))
        )
        want_zlib_checksum(pixels, max(before, 0))


def _want_all_files(stated: dict[bytes, bytes], name: bytes, following: bytes) -> None:
    """Refuse fewer files than there are slices: ITK would leave the rest as the memory was."""
    sizes = [int(size) for size in stated.get(b"DimSize", b"").split()]
    words = name.split()
    if name.startswith(b"LIST"):
        axes = int(words[1][:1]) if len(words) > 1 else len(sizes) - 1
        found = sum(bool(line.strip()) for line in following.splitlines())
    else:
        if len(words) < 3:  # ITK counts from 1, or from what stands there, to the last slice
            return
        if len(words) != 4 or (step := int(words[3])) < 1:  # ITK dies of it
            raise ImageFault("its ElementDataFile counts files without first, last and step")
        axes, found = len(sizes) - 1, (int(words[2]) - int(words[1])) // step + 1
    if found < (wanted := math.prod(sizes[axes:])):
        raise ImageFault(f"its header names {found} files for {wanted} slices")


def write_itk_labels(path: Path, labels: np.ndarray, geometry: dict[str, tuple[float, ...]]) -> None:
    """Write labels, integer (Z, H, W), with the ``spacing``, ``origin`` and ``direction`` of their image, as in ITK."""
    n_axes = len(geometry["spacing"])
    image = SimpleITK.GetImageFromArray(labels if n_axes == 3 else labels[0])
    image.SetSpacing(geometry["spacing"])
    image.SetOrigin(geometry["origin"])
    image.SetDirection(geometry["direction"])
    # By a name in capitals ITK would not know the format.
    written = path.with_suffix(path.suffix.lower())
    SimpleITK.WriteImage(image, str(written), True)
    if written != path:
        written.replace(path)


def itk_geometry(image: StoredImage) -> dict[str, tuple[float, ...]]:
    """An image's place as ITK states it: left, posterior, superior; at 0 where the file has no position."""
    n, spacing = image.n_axes, np.array(image.spacing, dtype=float)
    if not image.affines:
        return {"spacing": tuple(spacing), "origin": (0.0,) * n, "direction": tuple(np.eye(n).ravel())}
    affine = _TO_RAS @ image.affines[0]
    columns = affine[:n, :n]
    norms = np.linalg.norm(columns, axis=0)
    direction = columns / np.where(norms > 0, norms, 1)
    return {
        "spacing": tuple(spacing.tolist()),
        "origin": tuple(affine[:n, 3].tolist()),
        "direction": tuple(direction.ravel().tolist()),
    }
