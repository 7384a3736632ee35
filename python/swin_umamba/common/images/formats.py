"""Formats of images, told by the endings of their files' names."""

from __future__ import annotations

from pathlib import Path

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".mha", ".mhd", ".gipl")
TIFF_ENDINGS = (".tif", ".tiff")
JPEG_ENDINGS = (".jpg", ".jpeg")
LOSSY = "JPEG changes pixel values, so that labels cannot be stored in it; convert the original labels to PNG"
PLAIN_ENDINGS = (".png", *TIFF_ENDINGS, ".bmp")
ENDINGS = NIFTI_ENDINGS + ITK_ENDINGS + PLAIN_ENDINGS
"""Of images and label images; JPEG is for images alone."""


def image_ending(path: Path, endings: tuple[str, ...] = ENDINGS) -> str | None:
    """Return the known ending of an image's name, ``.nii.gz`` as one, or None."""
    lower = path.name.lower()
    return next((ending for ending in endings if lower.endswith(ending)), None)


def is_hidden(path: Path) -> bool:
    """Tell whether a path is of the kind that systems leave beside data and in archives."""
    return path.name.startswith(".") or path.name in ("__MACOSX", "Thumbs.db", "desktop.ini")
