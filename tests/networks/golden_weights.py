"""The weights with which the golden numbers were computed, and the golden files."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).parent.parent / "data"


def read_shapes(name: str) -> dict[str, list[int]]:
    """Parameter names and shapes of ``tests/data/<name>.shapes.json``."""
    return json.loads((DATA / f"{name}.shapes.json").read_text())


def read_golden(name: str) -> dict[str, Tensor]:
    """The arrays of ``tests/data/golden_<name>.npz``."""
    with np.load(DATA / f"golden_{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def fill(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Weights that depend on the parameters' names alone: the CRC-32 of a name seeds its tensor."""
    return {name: _draw(name, tuple(shape)) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if name.endswith("dt_projs_bias"):
        low, high = math.log(1e-3), math.log(0.1)
        step = torch.exp(torch.rand(shape, generator=generator) * (high - low) + low)
        return step + torch.log(-torch.expm1(-step))
    noise = torch.randn(shape, generator=generator)
    if name.endswith("A_logs"):
        return torch.arange(1.0, shape[1] + 1).log().repeat(shape[0], 1) + 0.1 * noise
    if len(shape) == 1:
        around_one = name.endswith(("weight", "Ds"))
        return 0.1 * noise + 1 if around_one else 0.1 * noise
    fan_in = shape[-1] if name.endswith("_weight") else math.prod(shape[1:])
    return noise / math.sqrt(fan_in)
