"""How many tiles the network takes at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

_PIXELS_ON_CPU = 320 * 320
"""Twice as many take twice the memory, and a few percent less time."""

_LARGEST = 16


def choose_batch_size(patch_size: Sequence[int], device: torch.device) -> int:
    """Choose how many tiles go through the network at once, before anything is known about its memory.

    Parameters
    ----------
    patch_size
        Of a tile, in pixels.
    device
        Where to predict. A GPU is given eight times as many pixels for every 8 GiB that are free on it.
    """
    budget = _PIXELS_ON_CPU
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        budget *= max(1, round(8 * free / 2**33))
    return max(1, min(_LARGEST, budget // math.prod(patch_size)))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch or Python says that there is too little memory."""
    words = ("out of memory", "not enough memory", "can't allocate", "unable to allocate")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
