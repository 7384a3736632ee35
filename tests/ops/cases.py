"""Arguments of the operators for property tests, and the comparison with the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from swin_umamba_ext import reference

SIZES = st.one_of(st.integers(1, 6), st.sampled_from([7, 8, 9, 15, 16, 17, 33]))
LENGTHS = st.one_of(st.integers(1, 5), st.sampled_from([63, 64, 65, 100, 129, 200]))
HALF = {torch.bfloat16: 2**-8, torch.float16: 2**-11}


def scan_arguments(
    batch: int,
    groups: int,
    per_group: int,
    length: int,
    state: int,
    *,
    constant_B: bool = False,
    constant_C: bool = False,
    with_D: bool = True,
    with_z: bool = False,
    with_bias: bool = True,
    delta_scale: float = 1.0,
    delta_shift: float = 0.0,
    rate_scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> list[Tensor | None]:
    """``selective_scan``'s tensors (u, delta, A, B, C, D, z, delta_bias), parameters in float32."""
    generator = torch.Generator().manual_seed(seed)
    dim = groups * per_group

    def normal(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    parameter = torch.float64 if dtype == torch.float64 else torch.float32
    rates = torch.rand(dim, state, generator=generator, dtype=torch.float64)
    return [
        normal(batch, dim, length),
        (normal(batch, dim, length) * delta_scale + delta_shift).to(dtype),
        (-rates * rate_scale - 1e-3).to(parameter),
        normal(dim, state, dtype=parameter) if constant_B else normal(batch, groups, state, length),
        normal(dim, state, dtype=parameter) if constant_C else normal(batch, groups, state, length),
        normal(dim, dtype=parameter) if with_D else None,
        normal(batch, dim, length) if with_z else None,
        normal(dim, dtype=parameter) * delta_scale if with_bias else None,
    ]


def ss2d_arguments(
    batch: int,
    height: int,
    width: int,
    dim: int,
    rank: int,
    state: int,
    *,
    dtype: torch.dtype = torch.float32,
    dt_bias: float = -2.0,
    seed: int = 0,
) -> list[Tensor]:
    """``ss2d``'s tensors, scaled as in an initialised network; parameters in float32."""
    generator = torch.Generator().manual_seed(seed)
    parameter = torch.float64 if dtype == torch.float64 else torch.float32

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(parameter)

    rates = torch.arange(1, state + 1, dtype=parameter).log().repeat(4 * dim, 1)
    return [
        normal(batch, height, width, dim).to(dtype),
        normal(4, rank + 2 * state, dim) * dim**-0.5,
        normal(4, dim, rank) * rank**-0.5,
        normal(4, dim) + dt_bias,
        rates + 0.1 * normal(4 * dim, state),
        normal(4 * dim),
    ]


def run(function: Callable[..., Tensor], arguments: Sequence[Tensor | None]) -> tuple[Tensor, list[Tensor | None]]:
    """The output and the gradient of a fixed random projection of it for every tensor argument."""
    inputs = [None if a is None else a.detach().clone().requires_grad_() for a in arguments]
    y = function(*inputs)
    # in bfloat16's and float16's common values, so that the incoming gradient is exact in every dtype
    weight = torch.randint(-8, 9, y.shape, generator=torch.Generator().manual_seed(1)).double() / 4
    given = [a for a in inputs if a is not None]
    grads = iter(torch.autograd.grad((y.double() * weight).sum(), given))
    return y.detach(), [None if a is None else next(grads) for a in inputs]


def relative_error(seen: Tensor, wanted: Tensor) -> float:
    """Largest difference, relative to the largest magnitude wanted; equal arrays (all zero) have none."""
    assert seen.shape == wanted.shape
    assert bool(torch.isfinite(seen).all())
    difference = (seen.double() - wanted.double()).abs().max().item()
    return 0.0 if difference == 0 else difference / wanted.abs().max().item()


def check_against_reference(
    name: str, arguments: Sequence[Tensor | None], length: int, fast: Callable[..., Tensor], **options: bool
) -> None:
    """Output and every gradient within 2e-6 sqrt(L), or 4 times the float32 reference's error, of float64.

    Half types add the rounding of what is stored in them: half a unit of the largest value.
    """

    def slow(*tensors: Tensor | None) -> Tensor:
        return getattr(reference, name)(*tensors, **options)

    def as_dtype(dtype: torch.dtype) -> list[Tensor | None]:
        return [None if a is None else a.to(dtype) for a in arguments]

    wanted = _flat(run(slow, as_dtype(torch.float64)))
    seen = _flat(run(lambda *tensors: fast(*tensors, **options), arguments))
    assert seen["output"].dtype == (arguments[0].dtype if name == "selective_scan" else torch.float32)

    def errors(results: dict[str, Tensor]) -> dict[str, float]:
        return {what: relative_error(results[what], w) for what, w in wanted.items()}

    rounding = {what: HALF.get(s.dtype, 0.0) for what, s in seen.items()}
    excess = {what: error for what, error in errors(seen).items() if error > 2e-6 * length**0.5 + rounding[what]}
    if excess:
        plain = errors(_flat(run(slow, as_dtype(torch.float32))))
        assert all(error <= 4 * plain[what] + rounding[what] for what, error in excess.items()), (excess, plain)


def _flat(results: tuple[Tensor, list[Tensor | None]]) -> dict[str, Tensor]:
    output, grads = results
    return {"output": output} | {f"gradient of argument {i}": g for i, g in enumerate(grads) if g is not None}
