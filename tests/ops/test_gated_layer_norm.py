"""Layer normalisation and gate as one operator."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import swin_umamba_ext

from ..problems.gated_layer_norm import gated_layer_norm_problem, gated_rows
from ..problems.problem import Problem


@given(gated_rows())
def test_equals_reference(problem: Problem) -> None:
    seen = problem.run()
    assert seen["out"].dtype == problem.inputs["z"].dtype
    problem.check(seen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_what_torch_makes_of_its_parts(dtype: torch.dtype) -> None:
    y, z, weight, bias = gated_layer_norm_problem(70, 96, dtype=dtype).arguments
    wanted = F.layer_norm(y, (96,), weight, bias, 1e-3) * F.silu(z.float())
    seen = swin_umamba_ext.gated_layer_norm(y, z, weight, bias, 1e-3)
    torch.testing.assert_close(seen, wanted.to(dtype), rtol=2**-8 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_a_row_without_deviation_is_its_bias() -> None:
    _, z, weight, bias = gated_layer_norm_problem(4, 20).arguments
    y = torch.full((4, 20), 7.0)
    seen = swin_umamba_ext.gated_layer_norm(y, z, weight, bias)
    torch.testing.assert_close(seen, bias * F.silu(z), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_strides_and_dimensions_give_the_same_bits(dtype: torch.dtype) -> None:
    y, z, weight, bias = gated_layer_norm_problem(30, 17, dtype=dtype).arguments
    wanted = swin_umamba_ext.gated_layer_norm(y, z, weight, bias)
    both = torch.cat([torch.full_like(z, float("nan")), z], dim=1)
    slices = {
        "slice": both.chunk(2, dim=1)[1],
        "image": both.view(2, 3, 5, 34).chunk(2, dim=-1)[1],
        "every other": torch.stack([z, z], dim=-1)[..., 0],
        "channels first": z.view(2, 3, 5, 17).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1),
        "one row": z[:1],
    }
    for name, other in slices.items():
        seen = swin_umamba_ext.gated_layer_norm(y[: other.numel() // 17].reshape(other.shape), other, weight, bias)
        assert seen.is_contiguous()
        assert torch.equal(seen.view(-1, 17), wanted[: other.numel() // 17]), name
    leaf = both.clone().requires_grad_()
    swin_umamba_ext.gated_layer_norm(y, leaf.chunk(2, dim=1)[1], weight, bias).sum().backward()
    assert (leaf.grad[:, :17] == 0).all()
    assert (leaf.grad[:, 17:] != 0).any()


def test_one_row_of_z_for_all_rows() -> None:
    y, z, weight, bias = gated_layer_norm_problem(30, 17).arguments
    wanted = swin_umamba_ext.gated_layer_norm(y, z[:1].repeat(30, 1), weight, bias)
    assert torch.equal(swin_umamba_ext.gated_layer_norm(y, z[:1].expand(30, 17), weight, bias), wanted)


def test_parameters_and_y_of_half_precision_are_computed_in_float32() -> None:
    arguments = [a.bfloat16() for a in gated_layer_norm_problem(30, 17).arguments]
    y, z, weight, bias = arguments
    seen = swin_umamba_ext.gated_layer_norm(*arguments)
    assert torch.equal(seen, swin_umamba_ext.gated_layer_norm(y.float(), z, weight.float(), bias.float()))


def test_autocast_changes_nothing() -> None:
    arguments = gated_layer_norm_problem(30, 17, dtype=torch.bfloat16).arguments
    with torch.autocast("cpu", torch.bfloat16):
        inside = swin_umamba_ext.gated_layer_norm(*arguments)
    assert torch.equal(inside, swin_umamba_ext.gated_layer_norm(*arguments))


@pytest.mark.parametrize("position", range(4))
def test_nan_is_not_hidden(position: int) -> None:
    arguments = gated_layer_norm_problem(9, 20).arguments
    arguments[position].view(-1)[0] = float("nan")
    assert swin_umamba_ext.gated_layer_norm(*arguments).isnan().any()


@pytest.mark.parametrize("shape", [(1, 3), (4, 5), (40, 2)])
def test_gradcheck(shape: tuple[int, int]) -> None:
    inputs = [a.requires_grad_() for a in gated_layer_norm_problem(*shape, dtype=torch.float64).arguments]
    assert torch.autograd.gradcheck(swin_umamba_ext.gated_layer_norm, inputs)


def test_second_derivative_is_an_error() -> None:
    y, *rest = gated_layer_norm_problem(3, 4).arguments
    y.requires_grad_()
    loss = swin_umamba_ext.gated_layer_norm(y, *rest).square().sum()
    (grad,) = torch.autograd.grad(loss, y, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives of gated_layer_norm"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype: torch.dtype) -> None:
    y, z, *parameters = [a.requires_grad_() for a in gated_layer_norm_problem(9, 10, dtype=dtype).arguments]
    apart = torch.cat([z, z], dim=1).detach().requires_grad_()
    for gate in (z, apart[:, 10:]):
        torch.library.opcheck(torch.ops.swin_umamba.gated_layer_norm.default, (y, gate, *parameters, 1e-5))
        detached = [a.detach() for a in (y, gate, *parameters)]
        torch.library.opcheck(torch.ops.swin_umamba.gated_layer_norm_backward.default, (z.detach(), *detached, 1e-5))


def test_a_traced_network_has_torchs_own_functions() -> None:
    arguments = gated_layer_norm_problem(9, 10).arguments
    traced = torch.jit.trace(lambda *a: swin_umamba_ext.gated_layer_norm(*a), arguments)
    kinds = {node.kind() for node in traced.graph.nodes()}
    assert "aten::layer_norm" in kinds
    assert not any(kind.startswith("swin_umamba") for kind in kinds)
    torch.testing.assert_close(traced(*arguments), swin_umamba_ext.gated_layer_norm(*arguments))


@given(st.sampled_from([(3, 4), (30, 17)]), st.integers(0, 3))
def test_only_the_gradients_that_are_wanted(shape: tuple[int, int], wanted: int) -> None:
    problem = gated_layer_norm_problem(*shape)
    arguments = list(problem.arguments)
    arguments[wanted] = arguments[wanted].clone().requires_grad_()
    (grad,) = torch.autograd.grad(swin_umamba_ext.gated_layer_norm(*arguments), arguments[wanted], problem.grads["out"])
    assert torch.equal(grad, problem.run()["grad " + list(problem.inputs)[wanted]])
