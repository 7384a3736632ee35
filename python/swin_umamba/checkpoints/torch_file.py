"""The files of ``torch.save``, both formats: the zip archive, and the one before PyTorch 1.6."""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from ..common.text import one_line
from . import CheckpointError
from .pickle_data import PickleDataError, PickleReader
from .tensor_data import TORCH_BUILDERS, TORCH_CONSTANTS, Storage, storage_type

LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# A compressed archive may unpack to these many bytes, and times its size more.
_UNPACKED_BYTES, _UNPACKED_RATIO = 2**24, 8
_BLOCK = 2**20


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
    except (CheckpointError, OSError):
        raise
    # zipfile and its decompressors raise anything when bytes are not as they were written.
    except Exception as error:
        raise _damaged(path, error) from None


class _ZipArchive:
    """One open archive: ``NAME/data.pkl``, and the bytes of storage ``KEY`` in ``NAME/data/KEY``."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = archive
        self.names = set(archive.namelist())
        self.storages: dict[str, Tensor] = {}
        self.bytes_left = _UNPACKED_BYTES + _UNPACKED_RATIO * path.stat().st_size
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
            order = self._unpack(f"{self.root}byteorder").decode("ascii", "replace")
            if order != sys.byteorder:
                raise CheckpointError(
                    f"{self.path} was written on a {one_line(order, 10)}-endian computer, and this one is "
                    f"{sys.byteorder}-endian; load and save it again with PyTorch there, as a safetensors file"
                )
        content = io.BytesIO(self._unpack(f"{self.root}data.pkl"))
        return PickleReader(content, TORCH_BUILDERS, TORCH_CONSTANTS, self.load_storage).read()

    def _unpack(self, name: str) -> bytearray:
        """The content of a record, which is as large as the archive says, and compared with its checksum."""
        record = self.archive.getinfo(name)
        if record.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise PickleDataError("it is compressed in a way that PyTorch does not know")
        self.bytes_left -= record.file_size
        if self.bytes_left < 0:
            raise PickleDataError("its records unpack to much more than the file")
        content, position = bytearray(record.file_size), 0
        with self.archive.open(record) as file:
            # In blocks: zipfile would unpack all at once, whatever size the record has.
            while block := file.read(_BLOCK):
                content[position : position + len(block)] = block
                position += len(block)
        if position != len(content):
            raise PickleDataError("a record has another size than the archive says")
        return content

    def load_storage(self, identifier: Any) -> Storage:
        kind, type_name, key, _device, count = identifier
        if kind != "storage" or type(key) is not str or type(count) is not int:
            raise PickleDataError("a reference to something that is no storage")
        dtype = storage_type(type_name)
        if key not in self.storages:
            name = f"{self.root}data/{key}"
            if name not in self.names:
                raise PickleDataError(f"the record {name} is missing")
            content = self._unpack(name)
            self.storages[key] = torch.frombuffer(content or bytearray(1), dtype=torch.uint8)[: len(content)]
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
    except (CheckpointError, OSError):
        raise
    except Exception as error:
        raise _damaged(path, error) from None


class _Bounded:
    """A file for `PickleReader` that is never asked for more than there is, as for that it would make room first."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.readline, self.tell = file.readline, file.tell
        self._file, self._size = file, size

    def read(self, count: int) -> bytes:
        # To ask where it stands takes as long as to read a byte.
        return self._file.read(count if count < _BLOCK else min(count, self._size - self._file.tell()))


class _LegacyFile:
    def __init__(self, path: Path, file: io.BufferedReader) -> None:
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
        if not isinstance(keys, list) or sorted(map(_storage_key, keys)) != sorted(self.storages):
            raise PickleDataError("its list of storages is not the one that its tensors need")
        for key in keys:
            self._fill(self.storages[_storage_key(key)])
        return content

    def _read_pickle(self) -> Any:
        bounded = cast(BinaryIO, _Bounded(self.file, self.size))
        return PickleReader(bounded, TORCH_BUILDERS, TORCH_CONSTANTS, self.load_storage).read()

    def load_storage(self, identifier: Any) -> Any:
        if identifier[0] == "module":  # a whole network, with its source
            return identifier[1]
        kind, type_name, key, _device, count, view = identifier
        if kind != "storage" or type(count) is not int or count < 0:
            raise PickleDataError("a reference to something that is no storage")
        if view is not None:
            raise PickleDataError("a storage is a part of another one, as before PyTorch 0.4; save it again with it")
        dtype, key = storage_type(type_name), _storage_key(key)
        if key not in self.storages:
            n_bytes = count * dtype.itemsize
            self.allocated += n_bytes
            if self.allocated > self.size:
                raise PickleDataError("its tensors are larger than the file")
            self.storages[key] = Storage(dtype, torch.zeros(n_bytes, dtype=torch.uint8))
        return self.storages[key]

    def _fill(self, storage: Storage) -> None:
        (count,) = struct.unpack("<q", self.file.read(8))
        if count * storage.dtype.itemsize != storage.content.numel():
            raise PickleDataError("a storage has another size than its tensors say")
        if self.file.readinto(storage.content.numpy().data) != storage.content.numel():
            raise PickleDataError("the file ends within a storage")


def _storage_key(key: Any) -> str:
    """Its name or number."""
    if type(key) not in (str, int):
        raise PickleDataError("a storage has no name")
    return str(key)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is incomplete or damaged ({path.stat().st_size} bytes; {one_line(str(error), 100)}); download or "
        f"copy it again"
    )
