"""NaN and infinity in image files, which not every reader passes on."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from ..errors import UserError, last_line


def holds_nonfinite(array: np.ndarray, path: Path) -> bool:
    """Whether an image holds NaN or infinity.

    ITK's reader of NIfTI, which nnU-Net uses, makes 0 of them. The values of such a file are read once more, slice by
    slice.

    Parameters
    ----------
    array : numpy.ndarray
        What a reader has given, of any shape.
    path : pathlib.Path
        The file that it has read.

    Raises
    ------
    UserError
        The file cannot be read again.
    """
    if not np.isfinite(array).all():
        return True
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return False
    try:
        # A compressed file that is kept open is unpacked once, and not from its beginning for every slice.
        voxels = nibabel.load(path, keep_file_open=True).dataobj
        # Whole numbers are finite, whatever the header scales them by.
        if not np.issubdtype(voxels.dtype, np.inexact):
            return False
        return not all(np.isfinite(voxels[..., index]).all() for index in range(voxels.shape[-1]))
    # nibabel raises whatever the libraries below it raise, which is no closed list.
    except Exception as error:
        raise UserError(f"cannot read {path}: {last_line(error)}") from error
