"""Checksums inside of image files, which the libraries that read them pass over: damage would be other pixels."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from .stored import ImageFault

_PIECE = 1 << 20
_DAMAGED = "its checksum does not fit its content: it was damaged on its way here; fetch it again"


def want_png_checksums(path: Path) -> None:
    """Raise `ImageFault` unless the pixels of a PNG file have the checksums that stand behind them.

    Pillow compares those of all chunks but these.
    """
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            left, name = struct.unpack(">I4s", head)
            if name == b"IEND":
                return
            if name != b"IDAT":
                file.seek(left + 4, 1)
                continue
            found = zlib.crc32(name)
            while left and (piece := file.read(min(left, _PIECE))):
                found, left = zlib.crc32(piece, found), left - len(piece)
            # Of a file that is cut off here, Pillow tells.
            if len(stated := file.read(4)) == 4 and found != int.from_bytes(stated, "big"):
                raise ImageFault(_DAMAGED)


def want_gzip_checksum(file: gzip.GzipFile, longest: float = 1 << 28) -> None:
    """Read what is left of an opened gzip file, behind which its checksum stands.

    Parameters
    ----------
    file
        Of Python's module ``gzip``, which compares the checksum where it comes to the end.
    longest
        Bytes after which it is not gone on with, as of a file that holds much more than its image.

    Raises
    ------
    ImageFault
        The checksum is another one.
    """
    left = longest
    try:
        while left > 0 and (piece := file.read(_PIECE)):
            left -= len(piece)
    except gzip.BadGzipFile as error:
        # Other bytes may follow the packed ones.
        if "check" in str(error) or "length" in str(error):
            raise ImageFault(_DAMAGED) from error
    except EOFError as error:
        raise ImageFault("it is cut off") from error


def want_zlib_checksum(path: Path, start: int) -> None:
    """Raise `ImageFault` unless what zlib has packed, from a byte of a file on, has the checksum at its end."""
    unpacking = zlib.decompressobj(47)  # with the head of zlib or of gzip
    with open(path, "rb") as file:
        file.seek(start)
        while not unpacking.eof and (piece := unpacking.unconsumed_tail or file.read(_PIECE)):
            try:
                unpacking.decompress(piece, _PIECE)
            except zlib.error as error:
                raise ImageFault(_DAMAGED) from error
    if not unpacking.eof:
        raise ImageFault("it is cut off: packed pixels are missing")
