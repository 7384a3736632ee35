"""Random tensors, and arrays of any of the operators' types."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Half a unit in the last place, relative.
ROUNDING = {torch.float32: 0.0, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
DTYPES = [*ROUNDING, torch.float64]


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of parameters, states and sums beside data of ``dtype``."""
    return dtype if dtype == torch.float64 else torch.float32


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def to_numpy(x: Tensor | None) -> np.ndarray | None:
    """An array over the same memory; of bfloat16, its bits in uint16."""
    if x is None:
        return None
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def to_torch(x: np.ndarray) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(x))
    return x.view(torch.bfloat16) if x.dtype == torch.uint16 else x
