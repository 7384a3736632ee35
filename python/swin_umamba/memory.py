"""How the C library handles the memory of tensors."""

from __future__ import annotations

import ctypes
import os

# <malloc.h> of the GNU C library
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next tensors instead of giving it back to the system.

    It gives large blocks back as soon as they are freed, so that each step of a training on the CPU takes new
    pages for all its activations, and waits for the system to clear them. The peak of memory stays about the same.
    Does nothing where there is no ``mallopt`` (not the GNU C library), or if the user has set
    ``MALLOC_TRIM_THRESHOLD_`` or ``MALLOC_MMAP_MAX_``.
    """
    if any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
