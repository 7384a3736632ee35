"""The file that a fault is of, named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ...common.errors import UserError
from ...common.images.stored import ImageFault


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in whose reading a fault was found."""
    try:
        yield
    except ImageFault as fault:
        raise UserError(fault.of(path)) from fault
