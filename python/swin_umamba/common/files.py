"""Files that are whole or not there at all, whenever the process is killed, and folders that one process works in."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import UserError

LOCK = ".lock"
"""Name of the file by which a process keeps others out of a folder."""

PARTIAL = ".partial"
"""Ending of a file that is being written."""

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What locking a file gives on file systems that have no locks, such as some network file systems."""


@contextlib.contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file beside ``path`` and put it in its place only when it is complete and on disk.

    A process killed inside the ``with`` block leaves the former ``path`` as it was, and a
    ``.partial`` file beside it that the next write replaces; an error, as of a full disk, leaves none.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def link_atomically(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Give ``source`` the second name ``path``: a hard link where the file system has them, else a copy."""
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        with open(source, "rb") as original, replace_atomically(path) as copy:
            while block := original.read(1 << 22):
                copy.write(block)
        return
    os.replace(partial, path)
    _sync_folder(path.parent)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON, atomically; NaN is refused since JSON has no such number."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replace_atomically(path) as file:
        file.write(text.encode())


def try_folder(folder: Path) -> None:
    """Raise `OSError` unless files can be written to a folder; one that is not there is made, and removed again."""
    import tempfile

    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    finally:
        for path in missing:
            # Not there, or not empty since another process has written to it.
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def lock_folder(folder: Path, advice: str, name: str = LOCK, wait: float = 0) -> Iterator[None]:
    """Make a folder if it is not there, and keep other processes from working in it.

    The lock goes with the process, however that ends; its file stays. A file system without locks keeps nobody out.

    Parameters
    ----------
    folder
        What to lock.
    advice
        The end of the message.
    name
        Of the file of the lock, where several processes share the folder.
    wait
        Seconds to wait for another process.

    Raises
    ------
    UserError
        Another process is at work in the folder, or it cannot be written to.
    """
    from filelock import FileLock, Timeout  # late: no help needs it

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}; {advice}") from error
    held: contextlib.AbstractContextManager[object]
    try:
        # Not with filelock's substitute for missing locks: it takes the file of any former process for its lock.
        held = FileLock(folder / name, timeout=wait, fallback_to_soft=False).acquire()
    except Timeout:
        raise UserError(f"another process is at work in {folder}; wait for it, or {advice}") from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise UserError(f"cannot write to the folder {folder}: {error.strerror}; {advice}") from error
        held = contextlib.nullcontext()
    with held:
        yield


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder; there the rename is as durable as the system makes it.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
