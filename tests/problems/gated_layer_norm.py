"""Random problems of ``gated_layer_norm``."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .arrays import compute_dtype, normal
from .problem import Problem
from .strategies import ANY_DTYPE, SEEDS


def gated_layer_norm_problem(rows: int, dim: int, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Problem:
    """The rows have a mean beside their deviation, as the sums of scans have."""
    compute = compute_dtype(dtype)
    inputs = {
        "y": normal(rows, dim, dtype=compute, seed=seed) + 0.5,
        "z": normal(rows, dim, dtype=dtype, seed=seed + 1) * 3,
        "weight": normal(dim, dtype=compute, seed=seed + 2) + 1,
        "bias": normal(dim, dtype=compute, seed=seed + 3),
    }
    return Problem("gated_layer_norm", {}, inputs, {"out": normal(rows, dim, dtype=dtype, seed=seed + 4)}, rows + dim)


def gated_rows(**given: SearchStrategy) -> SearchStrategy[Problem]:
    """Problems of ``gated_layer_norm``; of two channels every row is ±1, with gradients that cancel to nothing."""
    rows = st.one_of(st.integers(1, 6), st.sampled_from([15, 16, 17, 32, 33, 65, 100, 513, 530]))
    dims = st.sampled_from([1, 3, 5, 8, 15, 16, 17, 33, 47, 48, 64, 65, 100, 129])
    return st.builds(
        gated_layer_norm_problem, **({"rows": rows, "dim": dims, "dtype": ANY_DTYPE, "seed": SEEDS} | given)
    )
