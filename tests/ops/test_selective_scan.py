"""Selective scan."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import swin_umamba_ext
from swin_umamba_ext import reference

from .cases import LENGTHS, check_against_reference, relative_error, run, scan_arguments

STATES = st.sampled_from([1, 2, 3, 4, 7, 16, 17])
DIMS = st.sampled_from([1, 2, 5, 15, 16, 17, 48, 50])


def check(arguments: list, **options: bool) -> None:
    check_against_reference(
        "selective_scan", arguments, arguments[0].shape[-1], swin_umamba_ext.selective_scan, **options
    )


@given(
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    per_group=DIMS,
    length=LENGTHS,
    state=STATES,
    flags=st.tuples(*[st.booleans()] * 6),
)
def test_equals_reference(
    batch: int, groups: int, per_group: int, length: int, state: int, flags: tuple[bool, ...]
) -> None:
    constant_B, constant_C, with_D, with_z, with_bias, softplus = flags
    arguments = scan_arguments(
        batch,
        1 if constant_B and constant_C else groups,
        per_group,
        length,
        state,
        constant_B=constant_B,
        constant_C=constant_C,
        with_D=with_D,
        with_z=with_z,
        with_bias=with_bias,
        # without softplus, a step must not be negative for the state to stay bounded
        **({} if softplus else {"delta_scale": 0.05, "delta_shift": 0.5}),
    )
    check(arguments, delta_softplus=softplus)


@given(
    shift=st.sampled_from([-18.0, -5.0, 0.0, 5.0, 50.0]),
    rate=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
    length=LENGTHS,
)
def test_extreme_delta_and_rates(shift: float, rate: float, length: int) -> None:
    arguments = scan_arguments(1, 1, 18, length, 16, delta_shift=shift, rate_scale=rate, with_bias=False)
    check(arguments, delta_softplus=True)


@pytest.mark.parametrize("delta", [1e-8, 1.0, 50.0])
def test_long_sequence(delta: float) -> None:
    u, step, A, B, C, D, _, _ = scan_arguments(1, 1, 3, 20_000, 4)
    check([u, torch.full_like(step, delta), A, B, C, D, None, None])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@given(length=LENGTHS, per_group=DIMS, with_z=st.booleans())
def test_half_types(dtype: torch.dtype, length: int, per_group: int, with_z: bool) -> None:
    check(scan_arguments(2, 2, per_group, length, 16, with_z=with_z, dtype=dtype), delta_softplus=True)


def test_shared_coefficients_without_a_group_axis() -> None:
    u, delta, A, B, C, *rest = scan_arguments(2, 1, 5, 9, 3)
    with_axis = swin_umamba_ext.selective_scan(u, delta, A, B, C, *rest)
    assert torch.equal(swin_umamba_ext.selective_scan(u, delta, A, B[:, 0], C[:, 0], *rest), with_axis)


def test_different_groups_of_B_and_C() -> None:
    u, delta, A, B, C, *rest = scan_arguments(1, 6, 2, 7, 3)
    check([u, delta.abs() * 0.1, A, B[:, :2], C[:, :3], *rest])


def test_last_state_and_its_gradient() -> None:
    arguments = scan_arguments(2, 2, 9, 70, 5, with_z=True)

    def both(function):
        def call(*tensors):
            out, state = function(*tensors, delta_softplus=True, return_last_state=True)
            return torch.cat([out.flatten(1), state.flatten(1)], dim=1)

        return call

    seen, seen_grads = run(both(swin_umamba_ext.selective_scan), arguments)
    wanted, wanted_grads = run(both(reference.selective_scan), [a.double() for a in arguments])
    for s, w in zip([seen, *seen_grads], [wanted, *wanted_grads], strict=True):
        assert relative_error(s, w) < 1e-5


def test_last_state_alone_has_a_gradient() -> None:
    u, delta, A, B, C, *_ = scan_arguments(1, 1, 3, 5, 2)
    u.requires_grad_()
    _, state = swin_umamba_ext.selective_scan(u, delta, A, B, C, delta_softplus=True, return_last_state=True)
    state.sum().backward()
    assert u.grad.abs().sum() > 0


def test_mixed_dtypes_are_computed_in_their_common_one() -> None:
    u, delta, A, B, C, D, z, bias = scan_arguments(1, 1, 5, 9, 3, with_z=True)
    out = swin_umamba_ext.selective_scan(u.bfloat16(), delta, A, B.bfloat16(), C, D, z, bias, delta_softplus=True)
    wanted = swin_umamba_ext.selective_scan(
        u.bfloat16().float(), delta, A, B.bfloat16().float(), C, D, z, bias, delta_softplus=True
    )
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, wanted.bfloat16())


def test_non_contiguous_input() -> None:
    arguments = scan_arguments(2, 2, 5, 33, 4, with_z=True)
    wanted = swin_umamba_ext.selective_scan(*arguments, delta_softplus=True)
    strided = [torch.stack([a, a], dim=-1)[..., 0] for a in arguments]
    assert not strided[0].is_contiguous()
    assert torch.equal(swin_umamba_ext.selective_scan(*strided, delta_softplus=True), wanted)


@pytest.mark.parametrize("position", range(8))
def test_nan_is_not_hidden(position: int) -> None:
    arguments = scan_arguments(1, 1, 20, 70, 16, with_z=True)
    arguments[position].view(-1)[0] = float("nan")
    assert swin_umamba_ext.selective_scan(*arguments, delta_softplus=True).isnan().any()


@pytest.mark.parametrize(("constant_B", "constant_C"), [(False, False), (True, False), (False, True), (True, True)])
def test_gradcheck(constant_B: bool, constant_C: bool) -> None:
    arguments = scan_arguments(
        2, 1, 3, 5, 2, constant_B=constant_B, constant_C=constant_C, with_z=True, dtype=torch.float64
    )
    inputs = [a.requires_grad_() for a in arguments]
    assert torch.autograd.gradcheck(
        lambda *t: swin_umamba_ext.selective_scan(*t, delta_softplus=True, return_last_state=True), inputs
    )


def test_second_derivative_is_an_error() -> None:
    u, *rest = scan_arguments(1, 1, 2, 3, 2)
    u.requires_grad_()
    (grad,) = torch.autograd.grad(swin_umamba_ext.selective_scan(u, *rest).square().sum(), u, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives of selective_scan"):
        grad.sum().backward()


@pytest.mark.parametrize("optional", [False, True])
def test_opcheck(optional: bool) -> None:
    arguments = scan_arguments(1, 2, 3, 70, 4, with_D=optional, with_z=optional, with_bias=optional)
    inputs = [None if a is None else a.requires_grad_() for a in arguments]
    torch.library.opcheck(torch.ops.swin_umamba.selective_scan.default, (*inputs, True, True))
    detached = [None if a is None else a.detach() for a in inputs]
    out, state, states = torch.ops.swin_umamba.selective_scan(*detached, True, True)
    torch.library.opcheck(torch.ops.swin_umamba.selective_scan_backward.default, (out, state, states, *detached, True))
