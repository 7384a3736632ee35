"""Images as the content of files: PNG, TIFF and NIfTI."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
import tifffile

from .reading import png_bytes
from .stored import StoredImage


def encoded(array: np.ndarray, ending: str) -> bytes:
    """Return the content of a PNG or TIFF file of (H, W) or (H, W, 3)."""
    array = np.ascontiguousarray(array.astype(np.uint8) if array.dtype == bool else array)
    if ending == ".png":
        return png_bytes(array)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="rgb" if array.ndim == 3 else "minisblack", compression="zlib")
    return buffer.getvalue()


def write_pages(path: Path, pages: np.ndarray) -> None:
    """Write (n, H, W) as the grey pages of a TIFF file.

    One by one: of a whole array, tifffile makes colours of three pages, and one page of all that are a pixel wide.
    """
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, photometric="minisblack", compression="zlib", metadata=None)


def nifti_of(image: StoredImage) -> nibabel.Nifti1Image:
    """Return an image of one channel, in the place that it states, as NIfTI."""
    values = image.values[0].T if image.n_axes == 3 else image.values[0, 0].T
    values = values.astype(np.uint8) if values.dtype == bool else values
    # NIfTI has them, programs that read it often have not.
    values = values.astype(np.int32) if values.dtype in (np.int64, np.uint32, np.uint64) else values
    spacing = (*map(float, image.spacing or ()), 1.0, 1.0, 1.0)[:3]
    made = nibabel.Nifti1Image(values, image.affines[0] if image.affines else np.diag([*spacing, 1.0]))
    made.header.set_xyzt_units("mm")
    # A place in the scanner's space, or none.
    code = 1 if image.affines else 0
    made.set_sform(made.affine, code)
    made.set_qform(made.affine, code)
    return made
