"""Random problems of instance normalisation, and which of them the property tests draw."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from swin_umamba_ext import reference

from .arrays import compute_dtype, to_numpy, to_torch
from .operators import Draw
from .problem import Problem, Results
from .strategies import ANY_DTYPE, BATCHES, CHANNELS, SEEDS

SIZES = st.sampled_from([1, 2, 3, 5, 7, 8, 9, 16, 17, 33, 70])


@dataclass(repr=False)
class InstanceNormProblem(Problem):
    """Images are (B, C, H, W), in the memory format that the problem has."""

    channels_last: bool = False

    def run_numpy(self, module: object, **options: int) -> Results:
        def put(t: Tensor | None) -> object:
            return to_numpy(t.permute(0, 2, 3, 1) if t is not None and t.dim() == 4 and self.channels_last else t)

        options |= self.options | {"channels_last": self.channels_last}
        inputs = {n: put(t) for n, t in self.inputs.items()}
        results = module.instance_norm(**inputs, **options)
        # The backward pass takes the result in the place of the residual.
        inputs.pop("residual")
        saved = {n: a for n, a in results.items() if n != "y" or self.inputs["residual"] is not None}
        gradients = module.instance_norm_backward(**inputs, **saved, grad_y=put(self.grads["y"]), **options)
        seen = {"y": to_torch(results["y"])} | {f"grad {n}": to_torch(a) for n, a in gradients.items()}
        if not self.channels_last:
            return seen
        return {n: t.permute(0, 3, 1, 2) if t.dim() == 4 else t for n, t in seen.items()}

    def check(self, seen: Results, label: str = "", **options: object) -> None:
        """As for any problem, but a result smaller than 1, the size of the numbers drawn, is held to 1.

        The gradient of x is small beside what it is the sum of where a plane has two pixels.
        """
        super().check(seen, label, **{"smallest": 1.0} | options)


def instance_norm_problem(
    batch: int,
    channels: int,
    height: int,
    width: int,
    *,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    with_weight: bool = True,
    with_bias: bool = True,
    with_residual: bool = False,
    negative_slope: float = 1.0,
    offset: float = 0.0,
    seed: int = 0,
) -> InstanceNormProblem:
    """Of ``instance_norm``, on planes of deviation 1 whose means are about ``offset``.

    No gradient comes where the activation's argument is so near zero that its sign is a matter of rounding.
    """
    draw, compute = Draw(dtype, seed), compute_dtype(dtype)

    def image() -> Tensor:
        x = draw.normal(batch, channels, height, width, dtype=torch.float64)
        return x.to(memory_format=torch.channels_last) if channels_last else x

    x = image()
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    x = (x - mean) / variance.sqrt().clamp(min=1e-3) + offset * draw.normal(batch, channels, 1, 1, dtype=torch.float64)
    inputs = {
        "x": x.to(dtype),
        "weight": draw.normal(channels, dtype=compute) if with_weight else None,
        "bias": draw.normal(channels, dtype=compute) if with_bias else None,
        "residual": image().to(dtype) if with_residual else None,
    }
    argument = reference.instance_norm(**{n: None if t is None else t.double() for n, t in inputs.items()})
    grad = torch.where(argument.abs() < 1e-3, 0.0, image()).to(dtype)
    length = batch * height * width
    return InstanceNormProblem(
        "instance_norm", {"negative_slope": negative_slope}, inputs, {"y": grad}, length, channels_last
    )


def norms(**given: SearchStrategy) -> SearchStrategy[InstanceNormProblem]:
    """Problems of ``instance_norm``; ``given`` has strategies of the arguments of ``instance_norm_problem``."""
    options = {name: st.booleans() for name in ("channels_last", "with_weight", "with_bias", "with_residual")}
    strategies = {
        "batch": BATCHES,
        "channels": CHANNELS,
        "height": SIZES,
        "width": SIZES,
        "dtype": ANY_DTYPE,
        "negative_slope": st.sampled_from([0.0, 0.01, 1.0, 1.5]),
        "offset": st.sampled_from([0.0, 1.0]),
        "seed": SEEDS,
    }
    return st.builds(instance_norm_problem, **(strategies | options | given))
