"""NIfTI files: what their header says about size and place, and label images with the same header.

The rule is written down for users in docs/images.md.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from .checksums import want_gzip_checksum
from .stored import ImageFault, StoredImage, want_grid, want_whole

_MILLIMETRES = {0: 1, 1: 1000, 2: 1, 3: 0.001}
"""By the header's code of the unit: not told, m, mm, µm."""

# Quaternions of four or five digits can be a little too long; ITK and FSL take them, nibabel bears float32's last bit.
nibabel.Nifti1Header.quaternion_threshold = np.float32(1e-3)
nibabel.Nifti2Header.quaternion_threshold = np.float64(1e-3)


def read_nifti(path: Path) -> StoredImage:
    """Read a NIfTI-1 or NIfTI-2 file.

    Raises
    ------
    ImageFault
        It is no image of 2 or 3 axes with one number a voxel, or its header contradicts itself.
    """
    image = open_nifti_image(path)
    header, shape = image.header, image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3) or header.get_data_dtype().fields is not None:
        raise ImageFault(
            f"it has the size {shape} and type {header.get_data_dtype()}, not one number a voxel along 2 or 3 axes: "
            f"write each channel into its own file, named _0000, _0001, ..."
        )
    unit = _MILLIMETRES.get(int(header["xyzt_units"]) & 7)
    if unit is None:
        raise ImageFault(f"its header counts in the unknown unit {int(header['xyzt_units']) & 7}; set it to mm")
    # nibabel has put 1 in the place of sizes of 0, without a word.
    with _opened(path) as file:
        spacing = _spacing(type(header).from_fileobj(file, check=False), shape)
    forms = _forms(header, shape, spacing)
    if (start := image.dataobj.offset) < header.sizeof_hdr:  # type: ignore[attr-defined] # a proxy of the file's
        # nibabel would take the header for the first pixels.
        raise ImageFault(f"its header says that the pixels begin at byte {start}, in the header itself (vox_offset)")
    n_bytes = float(np.prod(shape, dtype=float)) * header.get_data_dtype().itemsize
    want_whole(path, start + n_bytes, packed=is_packed(path))
    try:
        values = np.asanyarray(image.dataobj).reshape(shape).T
    except (OSError, EOFError, zlib.error) as error:
        if getattr(error, "errno", None):  # the system's, as of a disk that fails
            raise
        raise ImageFault("it is cut off, or its pixels cannot be unpacked; fetch it again") from error
    if isinstance(packed := image.file_map["image"].fileobj, gzip.GzipFile):
        want_gzip_checksum(packed)
    return StoredImage(
        values[(None,) * (4 - values.ndim)],
        len(shape),
        # In mm it is kept as the header's float32: the released scripts score with these.
        spacing if unit == 1 else tuple(float(size) * unit for size in spacing),
        tuple(np.diag([unit, unit, unit, 1.0]) @ form if unit != 1 else form for form in forms),
        header=header,
    )


def open_nifti_image(path: Path) -> nibabel.Nifti1Image:
    """Open a NIfTI-1 or NIfTI-2 file; its voxels are read when they are asked for.

    Whether it is packed by gzip is told by its first bytes. nibabel goes by the name, and takes ``a.Nii`` for another
    file, ``a.nii``.

    Raises
    ------
    ImageFault
        It is no NIfTI file.
    """
    with _opened(path) as file:
        head = file.read(nibabel.Nifti2Header.sizeof_hdr)
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        if kind.header_class.may_contain_header(head):
            return kind.from_stream(_opened(path))
    raise ImageFault("it is no NIfTI file")


def is_packed(path: Path) -> bool:
    """Tell whether a file is packed by gzip, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _opened(path: Path) -> io.BufferedIOBase:
    return gzip.GzipFile(path) if is_packed(path) else open(path, "rb")


def _spacing(header: nibabel.Nifti1Header, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The sizes of a voxel, float32 in the header's unit."""
    spacing = list(np.abs(header["pixdim"][1 : len(shape) + 1]))
    for axis, size in enumerate(spacing):
        if size == 0 and shape[axis] == 1:
            # Writers of single slices leave out how thick they are.
            spacing[axis] = type(size)(1)
        elif not (np.isfinite(size) and size > 0):
            raise ImageFault(f"its header has the voxel size {size} along axis {axis} (pixdim); set it")
    return tuple(spacing)


def _forms(header: nibabel.Nifti1Header, shape: tuple[int, ...], spacing: tuple[Any, ...]) -> list[np.ndarray]:
    """The places that the header states, sform before qform, in its unit; refused where its voxel size is open."""
    for name in ("qform", "sform"):
        if header[f"{name}_code"] > 0 and not np.isfinite(getattr(header, f"get_{name}")()).all():
            raise ImageFault(f"its header states a place that is not finite ({name}); set it, or its code to 0")
    qform = header.get_qform() if header["qform_code"] > 0 else None
    if header["sform_code"] <= 0:
        return [] if qform is None else [qform]
    sform = header.get_sform()
    # Beside a qform, an sform in another space than the scanner's may stretch the grid.
    if qform is None or header["sform_code"] == 1:
        want_grid(sform[:3, :3], spacing, shape, "pixdim", "sform")
    return [sform] if qform is None else [sform, qform]


def nifti_places(header: nibabel.Nifti1Header) -> list[np.ndarray]:
    """Return the matrices (4, 4), from (x, y, z) to mm, of both places that the header of an image may state."""
    unit = _MILLIMETRES[int(header["xyzt_units"]) & 7]
    codes = ("sform_code", header.get_sform), ("qform_code", header.get_qform)
    return [np.diag([unit, unit, unit, 1.0]) @ form() for code, form in codes if header[code] > 0]


def nifti_labels(labels: np.ndarray, header: nibabel.Nifti1Header) -> nibabel.Nifti1Image:
    """Return labels, integer (Z, H, W), with the header of their image, so that every program sees both at one place.

    Both forms, their codes, the unit and the voxel size are the image's; type, scale and description are not.
    """
    return _with_header(labels.T if header["dim"][0] != 2 else labels[0].T, header)


def nifti_maps(values: np.ndarray, header: nibabel.Nifti1Header) -> nibabel.Nifti1Image:
    """Return maps of an image, (Z, H, W) or (n, Z, H, W), as volumes with its header, see `nifti_labels`."""
    return _with_header(np.ascontiguousarray(values.T), header)


def _with_header(array: np.ndarray, header: nibabel.Nifti1Header) -> nibabel.Nifti1Image:
    header = header.copy()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header.extensions.clear()
    header["cal_min"] = header["cal_max"] = 0
    header["descrip"] = b""
    # Of what follows the three axes of space nothing is kept.
    header["pixdim"][4:] = 1
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return kind(array, None, header)


def write_nifti(path: Path, image: nibabel.Nifti1Image) -> None:
    """Write an image to just this file, packed where its name says so: nibabel would write ``a.nii`` for ``a.Nii``."""
    with open(path, "wb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(file)
