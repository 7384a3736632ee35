"""Formats of images, told by the endings of their files' names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".mha", ".mhd", ".gipl")
TIFF_ENDINGS = (".tif", ".tiff")
JPEG_ENDINGS = (".jpg", ".jpeg")
LOSSY = "JPEG changes pixel values, so that labels cannot be stored in it; convert the original labels to PNG"
PLAIN_ENDINGS = (".png", *TIFF_ENDINGS, ".bmp")
ENDINGS = NIFTI_ENDINGS + ITK_ENDINGS + PLAIN_ENDINGS
"""Of images and label images; JPEG is for images alone."""

UNREAD_ENDINGS = (
    *(".webp", ".gif", ".jp2", ".j2k", ".jxl", ".heic", ".avif", ".pgm", ".ppm", ".pbm", ".pnm", ".tga", ".dng"),
    *(".mgz", ".mgh", ".mnc", ".img", ".hdr", ".nhdr", ".vtk", ".vti", ".nii.bz2", ".nii.xz", ".nii.zst"),
    *(".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".nd2", ".lif", ".oib", ".oif", ".lsm", ".vsi", ".ims", ".zarr"),
)
PACKED_ENDINGS = (".npy", ".npz", ".h5", ".hdf5", ".mat", ".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
"""Of images that are not read, and of what images may be packed in. That such files are left out is said."""


def image_ending(path: Path, endings: tuple[str, ...] = ENDINGS) -> str | None:
    """Return the known ending of an image's name, ``.nii.gz`` as one, or None."""
    lower = path.name.lower()
    return next((ending for ending in endings if lower.endswith(ending)), None)


def is_hidden(path: Path) -> bool:
    """Tell whether a path is of the kind that systems leave beside data and in archives."""
    return path.name.startswith(".") or path.name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def is_file_or_lost(path: Path) -> bool:
    """Tell whether a path is a file, or a link to one that is not there: reading it then says so."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in and below a folder in the order of their names, also behind links, each folder once."""
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(root)
        folders[:] = [] if place in seen else sorted(name for name in folders if not is_hidden(Path(name)))
        paths = [] if place in seen else [Path(root, name) for name in sorted(names)]
        seen.add(place)
        yield from (path for path in paths if not is_hidden(path) and is_file_or_lost(path))
