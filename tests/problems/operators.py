"""Random problems of the two scans. Parameters are in float32, or in float64 beside data in it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .arrays import compute_dtype
from .problem import Problem


class Draw:
    """Random tensors one after the other."""

    def __init__(self, dtype: torch.dtype, seed: int) -> None:
        self.dtype = dtype
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.randn(shape, generator=self.generator).to(dtype or self.dtype)

    def multiples(self, base: Tensor, state: int, deviation: float) -> Tensor:
        """``base`` (channels, 1) times 1 to ``state``, each but for a share of up to ``deviation``."""
        n = torch.arange(1, state + 1, dtype=base.dtype)
        return base * n * self.uniform(1 - deviation, 1 + deviation, len(base), state, dtype=base.dtype)

    def uniform(self, low: float, high: float, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return (torch.rand(shape, generator=self.generator) * (high - low) + low).to(dtype or self.dtype)


def scan_problem(
    batch: int,
    groups: int,
    channels: int,
    length: int,
    state: int,
    *,
    dtype: torch.dtype = torch.float32,
    constant_B: bool = False,
    constant_C: bool = False,
    with_D: bool = True,
    with_z: bool = True,
    with_bias: bool = True,
    with_grad_last_state: bool = True,
    softplus: bool = True,
    steps: tuple[float, float] | None = None,
    largest_rate: float = 1.0,
    multiples: float | None = None,
    seed: int = 0,
) -> Problem:
    """Of ``selective_scan``; ``channels`` is of one group, ``steps`` the range of delta, ``largest_rate`` that of -A.

    With ``multiples`` a channel's rates are multiples of its first, but for up to this share of each.

    Without softplus no step is negative unless ``steps`` says so, so that the state stays bounded.
    """
    draw, compute = Draw(dtype, seed), compute_dtype(dtype)
    dim = groups * channels

    def matrix(constant: bool) -> Tensor:
        return draw.normal(dim, state, dtype=compute) if constant else draw.normal(batch, groups, state, length)

    def rates() -> Tensor:
        if multiples is None:
            return draw.uniform(0, largest_rate, dim, state, dtype=compute)
        return draw.multiples(draw.uniform(0, largest_rate / state, dim, 1, dtype=compute), state, multiples)

    inputs = {
        "u": draw.normal(batch, dim, length),
        "delta": draw.uniform(*(steps or ((-2, 2) if softplus else (0, 1))), batch, dim, length),
        "A": -rates(),
        "B": matrix(constant_B),
        "C": matrix(constant_C),
        "D": draw.normal(dim, dtype=compute) if with_D else None,
        "z": draw.normal(batch, dim, length) if with_z else None,
        "delta_bias": draw.uniform(0, 0.1, dim, dtype=compute) if with_bias else None,
    }
    grads = {
        "out": draw.normal(batch, dim, length),
        "last_state": draw.normal(batch, dim, state, dtype=compute) if with_grad_last_state else None,
    }
    return Problem("selective_scan", {"delta_softplus": softplus}, inputs, grads, length)


def ss2d_problem(
    batch: int,
    height: int,
    width: int,
    dim: int,
    state: int,
    rank: int,
    *,
    dtype: torch.dtype = torch.float32,
    dt_bias: float = -2.0,
    multiples: float | None = None,
    seed: int = 0,
) -> Problem:
    """Of ``ss2d``, scaled as in a new network; ``dt_bias`` is the mean of ``dt_projs_bias``, ``multiples`` as above."""
    draw = Draw(compute_dtype(dtype), seed)

    def logarithms() -> Tensor:
        if multiples is None:
            return draw.normal(4 * dim, state)
        return draw.multiples(draw.normal(4 * dim, 1).exp(), state, multiples).log()

    inputs = {
        "x": draw.normal(batch, height, width, dim, dtype=dtype),
        "x_proj_weight": draw.normal(4, rank + 2 * state, dim) * dim**-0.5,
        "dt_projs_weight": draw.normal(4, dim, rank) * rank**-0.5,
        "dt_projs_bias": draw.normal(4, dim) + dt_bias,
        "A_logs": logarithms(),
        "Ds": draw.normal(4 * dim),
    }
    return Problem("ss2d", {}, inputs, {"y": draw.normal(batch, height, width, dim)}, height * width)


def slow_ss2d_problem(height: int, width: int, dim: int) -> Problem:
    """Of ``ss2d`` with the decays of a trained network: dt from 0.001 to 0.1, A from -1 to -16; states last long."""
    state, draw = 16, Draw(torch.float32, 0)
    problem = ss2d_problem(1, height, width, dim, state, 6)
    steps = torch.exp(draw.uniform(math.log(1e-3), math.log(0.1), 4, dim))
    problem.inputs["dt_projs_bias"] = torch.log(torch.expm1(steps))
    problem.inputs["dt_projs_weight"] *= 0.1
    problem.inputs["A_logs"] = torch.arange(1.0, state + 1).log().repeat(4 * dim, 1)
    return problem
