"""The files of ``torch.save``, both formats: the zip archive, and the one before PyTorch 1.6."""

from __future__ import annotations

import io
import lzma
import os
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from . import CheckpointError
from .pickle_data import PickleDataError, PickleReader
from .tensor_data import TORCH_BUILDERS, TORCH_CONSTANTS, Storage, storage_type

LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# What zipfile, struct and the readers of pickles raise when bytes are not as they were written.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_zip_file(path: Path) -> Any:
    """Return what a zip archive of ``torch.save`` holds.

    The archive's checksums are compared, which ``torch.load`` does not do: a bit that fell over in a copy is an
    error, and not a slightly different network.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    object
        As written, with tensors on the CPU.

    Raises
    ------
    CheckpointError
        The archive is incomplete or damaged, or ``torch.save`` did not write it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _ZipArchive(path, archive).read()
    except CheckpointError:
        raise
    except _DAMAGED as error:
        raise _damaged(path, error) from None


class _ZipArchive:
    """One open archive: ``NAME/data.pkl``, and the bytes of storage ``KEY`` in ``NAME/data/KEY``."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = archive
        self.names = set(archive.namelist())
        self.storages: dict[str, Tensor] = {}
        pickles = [name for name in self.names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                f"{path} is a zip archive, but not one of torch.save; unpack it, and give the checkpoint inside, "
                f"for instance checkpoint_final.pth"
            )
        self.root = pickles[0].removesuffix("data.pkl")

    def read(self) -> Any:
        if f"{self.root}constants.pkl" in self.names:
            raise CheckpointError(
                f"{self.path} is a TorchScript program, not a checkpoint; load it with torch.jit.load and write its "
                f"state_dict() with torch.save"
            )
        if f"{self.root}byteorder" in self.names:
            order = self.archive.read(f"{self.root}byteorder").decode("ascii", "replace")
            if order != sys.byteorder:
                raise CheckpointError(
                    f"{self.path} was written on a {order}-endian computer, and this one is {sys.byteorder}-endian; "
                    f"load and save it again with PyTorch there, as a safetensors file"
                )
        content = io.BytesIO(self.archive.read(f"{self.root}data.pkl"))
        return PickleReader(content, TORCH_BUILDERS, TORCH_CONSTANTS, self.load_storage).read()

    def load_storage(self, identifier: Any) -> Storage:
        kind, type_name, key, _device, count = identifier
        if kind != "storage" or type(key) is not str or type(count) is not int:
            raise PickleDataError("a reference to something that is no storage")
        dtype = storage_type(type_name)
        if key not in self.storages:
            name = f"{self.root}data/{key}"
            if name not in self.names:
                raise PickleDataError(f"the record {name} is missing")
            self.storages[key] = _bytes_tensor(self.archive.read(name))
        if count * dtype.itemsize > self.storages[key].numel():
            raise PickleDataError(f"the record {self.root}data/{key} is too short")
        return Storage(dtype, self.storages[key])


def read_legacy_file(path: Path) -> Any:
    """Return what a file of ``torch.save`` before PyTorch 1.6 holds: pickles, then the bytes of the storages.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    object
        As written, with tensors on the CPU.

    Raises
    ------
    CheckpointError
        The file is incomplete or damaged, or ``torch.save`` did not write it.
    """
    try:
        with open(path, "rb") as file:
            return _LegacyFile(path, file).read()
    except CheckpointError:
        raise
    except _DAMAGED as error:
        raise _damaged(path, error) from None


class _LegacyFile:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.storages: dict[str, Storage] = {}
        self.allocated = 0

    def read(self) -> Any:
        if self._read_pickle() != LEGACY_MAGIC_NUMBER:
            raise CheckpointError(
                f"{self.path} is a pickle that torch.save did not write; write the weights with "
                f"torch.save(network.state_dict(), FILE)"
            )
        if self._read_pickle() != LEGACY_PROTOCOL:
            raise PickleDataError("its version of the format is unknown")
        system = self._read_pickle()
        if not isinstance(system, dict) or system.get("little_endian") is not (sys.byteorder == "little"):
            raise CheckpointError(f"{self.path} was written on a computer with another order of bytes than this one")
        # Tensors are made first, on storages of zeros that are filled afterwards.
        content = self._read_pickle()
        keys = self._read_pickle()
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(self.storages):
            raise PickleDataError("its list of storages is not the one that its tensors need")
        for key in keys:
            self._fill(self.storages[str(key)])
        return content

    def _read_pickle(self) -> Any:
        return PickleReader(self.file, TORCH_BUILDERS, TORCH_CONSTANTS, self.load_storage).read()

    def load_storage(self, identifier: Any) -> Any:
        if identifier[0] == "module":  # a whole network, with its source
            return identifier[1]
        kind, type_name, key, _device, count, view = identifier
        if kind != "storage" or type(count) is not int or count < 0:
            raise PickleDataError("a reference to something that is no storage")
        if view is not None:
            raise PickleDataError("a storage is a part of another one, as before PyTorch 0.4; save it again with it")
        dtype = storage_type(type_name)
        if str(key) not in self.storages:
            n_bytes = count * dtype.itemsize
            self.allocated += n_bytes
            if self.allocated > self.size:
                raise PickleDataError("its tensors are larger than the file")
            self.storages[str(key)] = Storage(dtype, torch.zeros(n_bytes, dtype=torch.uint8))
        return self.storages[str(key)]

    def _fill(self, storage: Storage) -> None:
        (count,) = struct.unpack("<q", self.file.read(8))
        if count * storage.dtype.itemsize != storage.content.numel():
            raise PickleDataError("a storage has another size than its tensors say")
        content = self.file.read(storage.content.numel())
        if len(content) != storage.content.numel():
            raise PickleDataError("the file ends within a storage")
        storage.content.copy_(_bytes_tensor(content))


def _bytes_tensor(content: bytes) -> Tensor:
    if not content:
        return torch.empty(0, dtype=torch.uint8)
    # A tensor can be written to, bytes cannot.
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is incomplete or damaged ({path.stat().st_size} bytes; {error}); download or copy it again"
    )
