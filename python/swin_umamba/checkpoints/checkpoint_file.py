"""Reading checkpoints: which format a file has, what to say where it has none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..common.text import one_line, short_name
from . import CheckpointError
from .torch_file import read_legacy_file, read_zip_file

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"

# Beginnings of files that are given in the place of a checkpoint, with what they are and what to do.
_MISTAKEN = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; fetch it with: git lfs pull"),
    (b"PK\x05\x06", "is an empty zip archive; download it again"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it, and give the checkpoint inside"),
    (b"7z\xbc\xaf", "is a 7-Zip archive; unpack it, and give the checkpoint inside"),
    (b"Rar!", "is a RAR archive; unpack it, and give the checkpoint inside"),
    (b"\x89HDF", "is an HDF5 file, which PyTorch does not write; give a checkpoint of PyTorch or a safetensors file"),
    (b"\x93NUMPY", "is a NumPy array; give a checkpoint of PyTorch or a safetensors file"),
)


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Read a checkpoint without running code from it.

    For use in the place of ``torch.load(path, weights_only=False)``: what an nnU-Net or VMamba checkpoint holds
    beside weights is read too, and the result is made of tensors, NumPy arrays and scalars, and plain
    containers alone. An object of any other class is a `swin_umamba.checkpoints.Placeholder` with the object's
    content in it; a parameter is a tensor; a defaultdict or Counter is a dict.

    Parameters
    ----------
    path
        A file of ``torch.save`` (zip archive, or the format before PyTorch 1.6) or of safetensors.

    Returns
    -------
    object
        What was saved, with tensors on the CPU: a dict for all checkpoints that this package reads.

    Raises
    ------
    CheckpointError
        The file is not there, not a checkpoint, incomplete or damaged. It is both a
        `swin_umamba.common.errors.UserError` and a ``ValueError``.
    """
    path = Path(path)
    try:
        beginning = _read_beginning(path)
        # First, since the length that such a file begins with may look like the beginning of any other.
        if _has_safetensors_header(path, beginning):
            return _read_safetensors(path)
        _refuse_other_files(path, beginning)
        if beginning.startswith(_ZIP):
            return read_zip_file(path)
        if beginning.startswith(_PICKLE):
            return read_legacy_file(path)
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    raise CheckpointError(
        f"{path} is neither a checkpoint of PyTorch nor a safetensors file (it begins with the bytes "
        f"{beginning[:8].hex(' ')}); download or copy it again"
    )


def _read_beginning(path: Path) -> bytes:
    if path.is_dir():
        candidates = sorted(file.name for pattern in ("*.pth", "*.pt", "*.safetensors") for file in path.glob(pattern))
        hint = f"it holds {', '.join(candidates[:4])}" if candidates else "for instance checkpoint_final.pth"
        raise CheckpointError(f"{path} is a folder; give the checkpoint inside: {hint}")
    if not path.exists():
        raise CheckpointError(f"there is no file {path}")
    if not path.is_file():
        raise CheckpointError(f"{path} is a pipe or a device, not a file; write it to a file first")
    with open(path, "rb") as file:
        return file.read(512)


def _refuse_other_files(path: Path, beginning: bytes) -> None:
    if not beginning:
        raise CheckpointError(f"{path} is empty; download or copy it again")
    for start, what in _MISTAKEN:
        if beginning.startswith(start):
            raise CheckpointError(f"{path} {what}")
    if beginning[257:262] == b"ustar":
        raise CheckpointError(f"{path} is a tar archive; unpack it, and give the checkpoint inside")
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        raise CheckpointError(
            f"{path} is a web page (HTML) that was saved in the place of the checkpoint; use the page's download "
            f"link or button instead"
        )
    if all(byte >= 32 or byte in b"\t\r\n\f" for byte in beginning) and _is_utf8(beginning):
        first_line = beginning.decode("utf-8", "replace").strip().split("\n", 1)[0].strip()[:60]
        raise CheckpointError(
            f"{path} is a text file ('{short_name(first_line)}' …), not a checkpoint; download or copy it again"
        )


def _has_safetensors_header(path: Path, beginning: bytes) -> bool:
    """Whether the file begins with the length of a JSON object, as 64 bits, and the object."""
    length = int.from_bytes(beginning[:8], "little")
    return beginning[8:9] == b"{" and length <= path.stat().st_size - 8


def _is_utf8(content: bytes) -> bool:
    try:
        # The last character may be cut off.
        content[:-4].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_safetensors(path: Path) -> dict[str, Any]:
    # Imported where it is used: reading other checkpoints does not wait for it.
    from safetensors.torch import load_file

    try:
        return load_file(path)
    # Its own error for most of what can be wrong, and others for types and names that it does not know.
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({path.stat().st_size} bytes; {one_line(str(error), 100)}); "
            f"download or copy it again"
        ) from None
