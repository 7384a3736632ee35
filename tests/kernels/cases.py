"""Random arguments of the kernels, and what the definition in PyTorch says of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from swin_umamba_ext import reference

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
# Half a unit in the last place, relative.
ROUNDING = {torch.float16: 2**-11, torch.bfloat16: 2**-8}
Results = dict[str, Tensor]


def to_numpy(x: Tensor | None) -> np.ndarray | None:
    if x is None:
        return None
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def to_torch(x: np.ndarray) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(x))
    return x.view(torch.bfloat16) if x.dtype == torch.uint16 else x


def relative_error(seen: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest magnitude of ``wanted``, or over 1e-27 where float32 underflows on the way.

    With delta A = -50,000 the exact gradient of A is nearer to zero than any float32, and that of a kernel is
    a product of its smallest decay, 2^-125 = 2e-38, and of values up to some thousands.
    """
    return (seen.double() - wanted).abs().max().item() / max(wanted.abs().max().item(), 1e-27)


def differentiate(function: Callable[..., Results], inputs: dict[str, Tensor | None], dtype: torch.dtype) -> Results:
    """Results of ``function`` and the gradients of its inputs, computed in ``dtype``.

    ``function`` takes the inputs by name; ``grad_NAME`` among ``inputs`` is the gradient of its result NAME.
    """
    leaves = {
        n: None if t is None else t.detach().to(dtype).requires_grad_() for n, t in inputs.items() if "grad_" not in n
    }
    results = function(**leaves)
    loss = sum(
        (results[n[5:]] * t.to(dtype)).sum() for n, t in inputs.items() if n.startswith("grad_") and t is not None
    )
    given = {n: t for n, t in leaves.items() if t is not None}
    gradients = torch.autograd.grad(loss, list(given.values()))
    return {n: t.detach() for n, t in results.items()} | {f"grad {n}": g for n, g in zip(given, gradients, strict=True)}


def definition_errors(function: Callable[..., Results], inputs: dict[str, Tensor | None], wanted: Results) -> dict:
    """Errors of the definition in float32, the larger of those at A and at the float32 numbers beside it.

    Where only one decay exp(delta A) is left in a gradient, its error is delta A times that of A or of the
    product, and whether a single evaluation rounds well there is luck.
    """
    errors = {n: relative_error(t, wanted[n]) for n, t in differentiate(function, inputs, torch.float32).items()}
    if "A" in inputs:
        for end in (torch.tensor(-torch.inf), torch.tensor(torch.inf)):
            beside = differentiate(function, inputs | {"A": torch.nextafter(inputs["A"], end)}, torch.float32)
            errors = {n: max(e, relative_error(beside[n], wanted[n])) for n, e in errors.items()}
    return errors


def check(
    seen: dict[str, np.ndarray],
    function: Callable[..., Results],
    inputs: dict[str, Tensor | None],
    wanted: Results,
    length: int,
    label: str,
) -> None:
    """Every result is within 2e-6 sqrt(length) of ``wanted``, or four times the error of the float32 definition.

    A 16-bit result may be off by half a unit in the last place more, and a float64 result by 1e-11.
    """
    definition = None
    for name, array in seen.items():
        result = to_torch(array)
        assert result.shape == wanted[name].shape, f"{label}: {name} has shape {tuple(result.shape)}"
        assert result.isfinite().all(), f"{label}: {name} is not finite"
        error, rounding = relative_error(result, wanted[name]), ROUNDING.get(result.dtype, 0)
        allowed = 1e-11 if result.dtype == torch.float64 else 2e-6 * length**0.5 + rounding
        if allowed < error and result.dtype != torch.float64:
            definition = definition or definition_errors(function, inputs, wanted)
            allowed = max(allowed, 4 * definition[name] + rounding)
        assert error <= allowed, f"{label}: {name} ({result.dtype}) has relative error {error:.2e}, above {allowed:.2e}"


def scan_inputs(
    batch: int,
    groups: int,
    channels: int,
    length: int,
    state: int,
    dtype: torch.dtype = torch.float32,
    constant_B: bool = False,
    constant_C: bool = False,
    with_D: bool = True,
    with_z: bool = True,
    with_bias: bool = True,
    with_grad_last_state: bool = True,
    largest_delta: float = 1.0,
    largest_rate: float = 1.0,
    seed: int = 0,
) -> dict[str, Tensor | None]:
    """``selective_scan``'s tensors and gradients of its results; ``channels`` is of one group, delta positive."""
    generator = torch.Generator().manual_seed(seed)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    dim = groups * channels

    def normal(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    def uniform(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.rand(shape, generator=generator).to(dtype)

    def matrix(constant: bool) -> Tensor:
        return normal(dim, state, dtype=compute) if constant else normal(batch, groups, state, length)

    return {
        "u": normal(batch, dim, length),
        "delta": uniform(batch, dim, length) * largest_delta,
        "A": -uniform(dim, state, dtype=compute) * largest_rate,
        "B": matrix(constant_B),
        "C": matrix(constant_C),
        "D": normal(dim, dtype=compute) if with_D else None,
        "z": normal(batch, dim, length) if with_z else None,
        "delta_bias": uniform(dim, dtype=compute) * 0.1 if with_bias else None,
        "grad_out": normal(batch, dim, length),
        "grad_last_state": normal(batch, dim, state, dtype=compute) if with_grad_last_state else None,
    }


def run_scan(kernels: object, inputs: dict[str, Tensor | None], softplus: bool, threads: int) -> dict[str, np.ndarray]:
    arrays = {n: to_numpy(t) for n, t in inputs.items()}
    grads = {n: arrays.pop(n) for n in ("grad_out", "grad_last_state")}
    options = {"delta_softplus": softplus, "threads": threads}
    results = kernels.selective_scan(**arrays, **options)
    gradients = kernels.selective_scan_backward(**grads, states=results.pop("states"), **arrays, **options)
    return results | {f"grad {n}": g for n, g in gradients.items()}


def reference_scan(softplus: bool) -> Callable[..., Results]:
    def function(**inputs: Tensor | None) -> Results:
        out, last_state = reference.selective_scan(**inputs, delta_softplus=softplus, return_last_state=True)
        return {"out": out, "last_state": last_state}

    return function


def image_inputs(
    batch: int,
    height: int,
    width: int,
    dim: int,
    state: int,
    rank: int,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> dict[str, Tensor]:
    """``ss2d``'s tensors, scaled as in a new network, and the gradient of its result."""
    generator = torch.Generator().manual_seed(seed)
    compute = torch.float64 if dtype == torch.float64 else torch.float32

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(compute)

    return {
        "x": normal(batch, height, width, dim).to(dtype),
        "x_proj_weight": normal(4, rank + 2 * state, dim) * dim**-0.5,
        "dt_projs_weight": normal(4, dim, rank) * rank**-0.5,
        "dt_projs_bias": normal(4, dim) - 2,
        "A_logs": normal(4 * dim, state),
        "Ds": normal(4 * dim),
        "grad_y": normal(batch, height, width, dim),
    }


def run_ss2d(kernels: object, inputs: dict[str, Tensor], threads: int) -> dict[str, np.ndarray]:
    arrays = {n: to_numpy(t) for n, t in inputs.items()}
    grad_y = arrays.pop("grad_y")
    results = kernels.ss2d(**arrays, threads=threads)
    saved = {n: results.pop(n) for n in ("projected_x", "states")}
    gradients = kernels.ss2d_backward(grad_y=grad_y, **saved, **arrays, threads=threads)
    return results | {f"grad {n}": g for n, g in gradients.items()}


def reference_ss2d(**inputs: Tensor) -> Results:
    return {"y": reference.ss2d(**inputs)}
