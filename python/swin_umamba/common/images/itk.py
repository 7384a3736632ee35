"""Volumes and 2-D images that SimpleITK reads: NRRD, MetaImage, GIPL."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK

from ..text import one_line
from .stored import ImageFault, StoredImage, want_grid, want_whole

_READERS = {".nrrd": "NrrdImageIO", ".gipl": "GiplImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""ITK's; asked to choose by itself, it finds none for ``.MHA`` and ``.GIPL``."""

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_itk(path: Path) -> StoredImage:
    """Read a file by SimpleITK.

    Raises
    ------
    ImageFault
        It is no image of 2 or 3 axes with one number a voxel, counts in another unit than mm, or its axes are no grid.
    """
    if path.name.lower().endswith(".nrrd"):
        _want_millimetres(path)
    else:
        _want_followed(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[path.suffix.lower()])
    reader.ReadImageInformation()
    # A bit for a voxel, of files that hold their voxels themselves.
    if not path.name.lower().endswith(".mhd"):
        want_whole(path, float(np.prod(reader.GetSize(), dtype=float)) / 8)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        if str(error).rstrip().endswith("Reason: Success"):
            raise ImageFault("it is cut off, or its pixels cannot be unpacked") from error
        raise
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


def _want_millimetres(path: Path) -> None:
    """ITK passes over the units that NRRD may state."""
    with open(path, "rb") as file:
        head = file.read(1 << 16).partition(b"\n\n")[0].decode("latin-1")
    stated = re.search(r"^(?:space )?units:(.*)$", head, re.MULTILINE)
    others = (
        [unit for unit in re.findall(r'"([^"]*)"', stated[1]) if unit not in ("mm", "millimeter", "")] if stated else []
    )
    if others:
        raise _other_unit(others[0])


def _other_unit(unit: str) -> ImageFault:
    return ImageFault(f"its header counts in {one_line(unit, 40)!r}, which ITK takes for mm; convert it to mm")


def _want_followed(path: Path) -> None:
    """Refuse a number of axes in a MetaImage that ITK dies of, and a unit that it passes over."""
    with open(path, "rb") as file:
        head = file.read(1 << 16).partition(b"ElementDataFile")[0]
    for stated in re.findall(rb"NDims *[=:] *(\S*)", head):
        if not re.fullmatch(rb"[1-9]", stated):
            raise ImageFault(f"its header states {one_line(stated.decode('latin-1'), 40)} for NDims")
    for unit in re.findall(rb"^DistanceUnits *[=:] *(\S+)", head, re.MULTILINE):
        if unit not in (b"mm", b"?"):
            raise _other_unit(unit.decode("latin-1"))


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
