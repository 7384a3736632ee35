"""Selective scan."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import swin_umamba_ext

from ..problems.operators import scan_problem
from ..problems.problem import Problem
from ..problems.strategies import LENGTHS, scans


def check(problem: Problem) -> None:
    seen = problem.run()
    assert seen["out"].dtype == problem.inputs["u"].dtype
    problem.check(seen, beside=False)


@given(scans(dtype=st.just(torch.float32)))
def test_equals_reference(problem: Problem) -> None:
    check(problem)


@given(
    shift=st.sampled_from([-18.0, -5.0, 0.0, 5.0, 50.0]),
    rate=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
    length=LENGTHS,
)
def test_extreme_delta_and_rates(shift: float, rate: float, length: int) -> None:
    steps = (shift - 2, shift + 2)
    check(scan_problem(1, 1, 18, length, 16, steps=steps, largest_rate=rate, with_z=False, with_bias=False))


@pytest.mark.parametrize("delta", [1e-8, 1.0, 50.0])
def test_long_sequence(delta: float) -> None:
    options = {"with_z": False, "with_bias": False, "softplus": False}
    check(scan_problem(1, 1, 3, 20_000, 4, steps=(delta, delta), **options))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@given(data=st.data())
def test_half_types(dtype: torch.dtype, data: st.DataObject) -> None:
    check(data.draw(scans(dtype=st.just(dtype))))


def test_shared_coefficients_without_a_group_axis() -> None:
    u, delta, A, B, C, *rest = scan_problem(2, 1, 5, 9, 3, with_z=False).arguments
    with_axis = swin_umamba_ext.selective_scan(u, delta, A, B, C, *rest)
    assert torch.equal(swin_umamba_ext.selective_scan(u, delta, A, B[:, 0], C[:, 0], *rest), with_axis)


def test_different_groups_of_B_and_C() -> None:
    problem = scan_problem(1, 6, 2, 7, 3, steps=(0, 0.3), softplus=False)
    problem.inputs |= {"B": problem.inputs["B"][:, :2], "C": problem.inputs["C"][:, :3]}
    check(problem)


def test_last_state_and_its_gradient() -> None:
    problem = scan_problem(2, 2, 9, 70, 5)
    problem.check(problem.run(), tolerance=1e-5)


def test_last_state_alone_has_a_gradient() -> None:
    u, delta, A, B, C, *_ = scan_problem(1, 1, 3, 5, 2).arguments
    u.requires_grad_()
    _, state = swin_umamba_ext.selective_scan(u, delta, A, B, C, delta_softplus=True, return_last_state=True)
    state.sum().backward()
    assert u.grad.abs().sum() > 0


def test_mixed_dtypes_are_computed_in_their_common_one() -> None:
    u, delta, A, B, C, D, z, bias = scan_problem(1, 1, 5, 9, 3).arguments
    out = swin_umamba_ext.selective_scan(u.bfloat16(), delta, A, B.bfloat16(), C, D, z, bias, delta_softplus=True)
    wanted = swin_umamba_ext.selective_scan(
        u.bfloat16().float(), delta, A, B.bfloat16().float(), C, D, z, bias, delta_softplus=True
    )
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, wanted.bfloat16())


def test_non_contiguous_input() -> None:
    arguments = scan_problem(2, 2, 5, 33, 4).arguments
    wanted = swin_umamba_ext.selective_scan(*arguments, delta_softplus=True)
    strided = [torch.stack([a, a], dim=-1)[..., 0] for a in arguments]
    assert not strided[0].is_contiguous()
    assert torch.equal(swin_umamba_ext.selective_scan(*strided, delta_softplus=True), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_growing_scan_is_finite_where_float64_is(dtype: torch.dtype) -> None:
    """Decays of e^60, and so an infinite gradient of the states before the input starts, which are zero."""
    problem = scan_problem(1, 1, 3, 6, 2, steps=(60, 60), softplus=False, with_bias=False, with_z=False, dtype=dtype)
    problem.inputs["A"] = torch.tensor([1.0, -1.0]).repeat(3, 1)
    for name in ("u", "B"):
        problem.inputs[name][..., :4] = 0
    problem.check(problem.run(), tolerance=1e-4)
    with torch.no_grad():
        alone = swin_umamba_ext.selective_scan(*problem.arguments)
    assert torch.equal(alone, problem.run()["out"])


@pytest.mark.parametrize("position", range(8))
def test_nan_is_not_hidden(position: int) -> None:
    arguments = scan_problem(1, 1, 20, 70, 16).arguments
    arguments[position].view(-1)[0] = float("nan")
    assert swin_umamba_ext.selective_scan(*arguments, delta_softplus=True).isnan().any()


@pytest.mark.parametrize(("constant_B", "constant_C"), [(False, False), (True, False), (False, True), (True, True)])
def test_gradcheck(constant_B: bool, constant_C: bool) -> None:
    problem = scan_problem(2, 1, 3, 5, 2, constant_B=constant_B, constant_C=constant_C, dtype=torch.float64)
    inputs = [a.requires_grad_() for a in problem.arguments]
    assert torch.autograd.gradcheck(
        lambda *t: swin_umamba_ext.selective_scan(*t, delta_softplus=True, return_last_state=True), inputs
    )


def test_second_derivative_is_an_error() -> None:
    u, *rest = scan_problem(1, 1, 2, 3, 2).arguments
    u.requires_grad_()
    (grad,) = torch.autograd.grad(swin_umamba_ext.selective_scan(u, *rest).square().sum(), u, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives of selective_scan"):
        grad.sum().backward()


@pytest.mark.parametrize("optional", [False, True])
def test_opcheck(optional: bool) -> None:
    problem = scan_problem(1, 2, 3, 70, 4, with_D=optional, with_z=optional, with_bias=optional)
    inputs = [None if a is None else a.requires_grad_() for a in problem.arguments]
    torch.library.opcheck(torch.ops.swin_umamba.selective_scan.default, (*inputs, True, True))
    detached = [None if a is None else a.detach() for a in inputs]
    out, state, states = torch.ops.swin_umamba.selective_scan(*detached, True, True)
    torch.library.opcheck(torch.ops.swin_umamba.selective_scan_backward.default, (out, state, states, *detached, True))
