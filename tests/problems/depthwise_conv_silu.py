"""Random problems of ``depthwise_conv_silu``."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .arrays import compute_dtype, normal
from .problem import Problem
from .strategies import ANY_DTYPE, BATCHES, CHANNELS, SEEDS, SIZES


def conv_problem(
    batch: int, height: int, width: int, dim: int, *, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Problem:
    """The convolution is about as large as its argument."""
    compute = compute_dtype(dtype)
    shape = (batch, height, width, dim)
    inputs = {
        "x": normal(*shape, dtype=dtype, seed=seed),
        "weight": normal(dim, 1, 3, 3, dtype=compute, seed=seed + 1) * 0.5,
        "bias": normal(dim, dtype=compute, seed=seed + 2),
    }
    grads = {"out": normal(*shape, dtype=dtype, seed=seed + 3)}
    return Problem("depthwise_conv_silu", {}, inputs, grads, batch * height * width + 9)


def convolved_images(**given: SearchStrategy) -> SearchStrategy[Problem]:
    """Problems of ``depthwise_conv_silu``; ``given`` has strategies of the arguments of ``conv_problem``."""
    sizes = {"batch": BATCHES, "height": SIZES, "width": SIZES, "dim": CHANNELS}
    return st.builds(conv_problem, **(sizes | {"dtype": ANY_DTYPE, "seed": SEEDS} | given))
