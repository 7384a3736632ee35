"""Fused 2-D selective scan."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import swin_umamba_ext

from ..problems.operators import ss2d_problem
from ..problems.problem import Problem
from ..problems.strategies import images


def check(problem: Problem) -> None:
    seen = problem.run()
    assert seen["y"].dtype == torch.float32
    problem.check(seen)


@given(images(dtype=st.just(torch.float32), dt_bias=st.sampled_from([-18.0, -2.0, 5.0])))
def test_equals_reference(problem: Problem) -> None:
    check(problem)


@pytest.mark.parametrize("size", [(1, 200), (200, 1), (1, 1)])
def test_single_row_or_column(size: tuple[int, int]) -> None:
    check(ss2d_problem(2, *size, 20, 16, 2))


def test_many_channels_share_a_sum() -> None:
    check(ss2d_problem(2, 5, 7, 433, 16, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@given(data=st.data())
def test_half_types(dtype: torch.dtype, data: st.DataObject) -> None:
    check(data.draw(images(dtype=st.just(dtype))))


def test_equals_the_composition_of_the_other_operators() -> None:
    x, x_proj, dt_projs, bias, A_logs, Ds = ss2d_problem(2, 9, 11, 20, 16, 3).arguments
    xs = swin_umamba_ext.cross_scan(x.permute(0, 3, 1, 2))
    dt, B, C = torch.einsum("bkdl,kcd->bkcl", xs, x_proj).split([3, 16, 16], dim=2)
    delta = torch.einsum("bkrl,kdr->bkdl", dt, dt_projs)
    ys = swin_umamba_ext.selective_scan(
        xs.flatten(1, 2), delta.flatten(1, 2), -A_logs.exp(), B, C, Ds, None, bias.flatten(), delta_softplus=True
    )
    wanted = swin_umamba_ext.cross_merge(ys.unflatten(1, (4, 20)), 9, 11).permute(0, 2, 3, 1)
    seen = swin_umamba_ext.ss2d(x, x_proj, dt_projs, bias, A_logs, Ds)
    torch.testing.assert_close(seen, wanted, rtol=1e-5, atol=1e-5)


def test_float64_matches_the_reference_closely() -> None:
    problem = ss2d_problem(2, 8, 9, 33, 5, 3, dtype=torch.float64)
    for name, seen in problem.run().items():
        torch.testing.assert_close(seen, problem.wanted[name], rtol=1e-11, atol=1e-11)


def test_non_contiguous_input() -> None:
    arguments = ss2d_problem(1, 6, 7, 20, 4, 2).arguments
    wanted = swin_umamba_ext.ss2d(*arguments)
    strided = [torch.stack([a, a], dim=-1)[..., 0] for a in arguments]
    assert torch.equal(swin_umamba_ext.ss2d(*strided), wanted)


@pytest.mark.parametrize("position", range(6))
def test_nan_is_not_hidden(position: int) -> None:
    arguments = ss2d_problem(1, 9, 9, 20, 16, 2).arguments
    arguments[position].view(-1)[0] = float("nan")
    assert swin_umamba_ext.ss2d(*arguments).isnan().any()


@pytest.mark.parametrize("shape", [(1, 2, 3, 2, 2, 1), (2, 1, 4, 3, 1, 2), (1, 9, 8, 1, 2, 1)])
def test_gradcheck(shape: tuple[int, ...]) -> None:
    inputs = [a.requires_grad_() for a in ss2d_problem(*shape, dtype=torch.float64).arguments]
    assert torch.autograd.gradcheck(swin_umamba_ext.ss2d, inputs)


def test_second_derivative_is_an_error() -> None:
    x, *rest = ss2d_problem(1, 2, 2, 2, 1, 1).arguments
    x.requires_grad_()
    (grad,) = torch.autograd.grad(swin_umamba_ext.ss2d(x, *rest).square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives of ss2d"):
        grad.sum().backward()


@pytest.mark.parametrize("height", [7, 13])  # shorter and longer than what is scanned again instead of saved
def test_opcheck(height: int) -> None:
    inputs = [a.requires_grad_() for a in ss2d_problem(1, height, 10, 5, 4, 2).arguments]
    torch.library.opcheck(torch.ops.swin_umamba.ss2d.default, (*inputs, True))
    detached = [a.detach() for a in inputs]
    saved = torch.ops.swin_umamba.ss2d(*detached, True)
    torch.library.opcheck(torch.ops.swin_umamba.ss2d_backward.default, (*saved, *detached))


def test_autocast_keeps_parameters_in_float32() -> None:
    arguments = ss2d_problem(1, 5, 6, 20, 16, 2).arguments
    x = arguments[0].bfloat16()
    outside = swin_umamba_ext.ss2d(x, *arguments[1:])
    with torch.autocast("cpu", torch.bfloat16):
        inside = swin_umamba_ext.ss2d(x, *arguments[1:])
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)
