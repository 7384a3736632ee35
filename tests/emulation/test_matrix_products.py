"""The matrix products of ss2d's projections, run by the emulation, have float32 accuracy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ..problems.arrays import to_numpy, to_torch
from ..problems.strategies import SEEDS
from .test_operators import FEW

FORMS = ["nt", "nn", "tn"]
# Of the sum of the products' sizes. Plain TF32 factors are off by 2**-11 each.
ACCURACY = 2.0**-20
ROUNDING = {torch.float32: 0.0, torch.float16: 2.0**-10, torch.bfloat16: 2.0**-8}


def assert_product(emulation, form, rows, columns, inner, dtype, seed, multiprocessors=1) -> None:
    g = torch.Generator().manual_seed(seed)

    def factor(outer: int, takes_dtype: bool) -> torch.Tensor:
        sizes = 10.0 ** torch.randint(-3, 1, (outer, inner), generator=g)
        return (torch.randn(outer, inner, generator=g) * sizes).to(dtype if takes_dtype else torch.float32)

    left, right = factor(rows, form == "nt"), factor(columns, form == "tn")
    add = torch.randn(rows, columns, generator=g) if form == "nn" else None
    got = emulation.multiply(
        form,
        to_numpy(left.T if form[0] == "t" else left),
        to_numpy(right if form[1] == "t" else right.T),
        to_numpy(add),
        str(dtype).removeprefix("torch."),
        multiprocessors,
    )
    wanted, size = left.double() @ right.double().T, left.double().abs() @ right.double().abs().T
    if add is not None:
        wanted, size = wanted + add, size + add.abs()
    allowed = ACCURACY * size + (ROUNDING[dtype] * wanted.abs() if form == "nn" else 0)
    excess = ((to_torch(got).double() - wanted).abs() / allowed).max()
    assert excess <= 1, f"{form} {dtype}: {float(excess):.2f} times the error allowed"


@FEW
@given(
    st.sampled_from(FORMS),
    st.integers(1, 130),
    st.integers(1, 130),
    st.integers(1, 100),
    st.sampled_from(list(ROUNDING)),
    SEEDS,
)
def test_any_size(emulation, form, rows, columns, inner, dtype, seed):
    assert_product(emulation, form, rows, columns, inner, dtype, seed)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("form", FORMS)
def test_whole_tiles(emulation, form, dtype):
    assert_product(emulation, form, rows=64, columns=128, inner=64, dtype=dtype, seed=0)


@pytest.mark.parametrize("form", FORMS)
def test_inner_dimension_in_parts(emulation, form):
    assert_product(emulation, form, rows=20, columns=70, inner=1001, dtype=torch.bfloat16, seed=0, multiprocessors=2)
