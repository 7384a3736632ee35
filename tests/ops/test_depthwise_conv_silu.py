"""Depthwise convolution and SiLU as one operator."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import swin_umamba_ext

from ..problems.depthwise_conv_silu import conv_problem, convolved_images
from ..problems.problem import Problem


@given(convolved_images())
def test_equals_reference(problem: Problem) -> None:
    seen = problem.run()
    assert seen["out"].dtype == problem.inputs["x"].dtype
    problem.check(seen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (20, 21)])
def test_equals_what_torch_makes_of_its_parts(dtype: torch.dtype, size: tuple[int, int]) -> None:
    x, weight, bias = conv_problem(2, *size, 50, dtype=dtype).arguments
    wanted = F.silu(F.conv2d(x.float().permute(0, 3, 1, 2), weight, bias, padding=1, groups=50)).permute(0, 2, 3, 1)
    seen = swin_umamba_ext.depthwise_conv_silu(x, weight, bias)
    torch.testing.assert_close(seen, wanted.to(dtype), rtol=2**-8 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_one_pixel_reaches_its_neighbours_and_no_others() -> None:
    """Also across the ends of rows, and from one image to the next, which lie beside each other in memory."""
    _, weight, _ = conv_problem(3, 5, 6, 17).arguments
    for image, row, column in ((0, 2, 3), (1, 0, 0), (1, 4, 5), (1, 0, 5), (2, 4, 0)):
        x = torch.zeros(3, 5, 6, 17)
        x[image, row, column] = 1
        seen = swin_umamba_ext.depthwise_conv_silu(x, weight, torch.zeros(17)) != 0
        near = torch.zeros(3, 5, 6, dtype=torch.bool)
        near[image, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        assert torch.equal(seen.all(-1), near)
        assert torch.equal(seen.any(-1), near)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_strides_give_the_same_bits(dtype: torch.dtype) -> None:
    x, weight, bias = conv_problem(2, 3, 5, 17, dtype=dtype).arguments
    wanted = swin_umamba_ext.depthwise_conv_silu(x, weight, bias)
    both = torch.cat([torch.full_like(x, float("nan")), x], dim=-1)
    others = {
        "slice": both.chunk(2, dim=-1)[1],
        "every other": torch.stack([x, x], dim=-1)[..., 0],
        "channels first": x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1),
        "columns first": x.transpose(1, 2).contiguous().transpose(1, 2),
    }
    for name, other in others.items():
        seen = swin_umamba_ext.depthwise_conv_silu(other, weight, bias)
        assert seen.is_contiguous()
        assert torch.equal(seen, wanted), name
    for part in (both[:1], both[:, 1:2], both[:, :, 1:2], both[:1, 1:2, 1:2]):
        part = part[..., 17:]
        alone = swin_umamba_ext.depthwise_conv_silu(part.contiguous(), weight, bias)
        assert torch.equal(swin_umamba_ext.depthwise_conv_silu(part, weight, bias), alone), part.shape
    leaf = both.clone().requires_grad_()
    swin_umamba_ext.depthwise_conv_silu(leaf.chunk(2, dim=-1)[1], weight, bias).sum().backward()
    assert (leaf.grad[..., :17] == 0).all()
    assert (leaf.grad[..., 17:] != 0).any()


def test_one_pixel_for_all() -> None:
    x, weight, bias = conv_problem(1, 1, 1, 17).arguments
    wanted = swin_umamba_ext.depthwise_conv_silu(x.repeat(2, 3, 5, 1), weight, bias)
    assert torch.equal(swin_umamba_ext.depthwise_conv_silu(x.expand(2, 3, 5, 17), weight, bias), wanted)


def test_an_image_does_not_depend_on_those_beside_it() -> None:
    x, weight, bias = conv_problem(3, 4, 7, 20).arguments
    seen = swin_umamba_ext.depthwise_conv_silu(x, weight, bias)
    for i in range(3):
        assert torch.equal(swin_umamba_ext.depthwise_conv_silu(x[i : i + 1], weight, bias), seen[i : i + 1])


def test_parameters_of_half_precision_are_computed_in_float32() -> None:
    x, weight, bias = (a.bfloat16() for a in conv_problem(1, 5, 6, 17).arguments)
    seen = swin_umamba_ext.depthwise_conv_silu(x, weight, bias)
    assert torch.equal(seen, swin_umamba_ext.depthwise_conv_silu(x, weight.float(), bias.float()))


def test_autocast_changes_nothing() -> None:
    arguments = conv_problem(1, 5, 6, 17, dtype=torch.bfloat16).arguments
    with torch.autocast("cpu", torch.bfloat16):
        inside = swin_umamba_ext.depthwise_conv_silu(*arguments)
    assert torch.equal(inside, swin_umamba_ext.depthwise_conv_silu(*arguments))


@pytest.mark.parametrize("position", range(3))
def test_nan_is_not_hidden(position: int) -> None:
    arguments = conv_problem(1, 5, 6, 20).arguments
    arguments[position].view(-1)[0] = float("nan")
    assert swin_umamba_ext.depthwise_conv_silu(*arguments).isnan().any()


@pytest.mark.parametrize("magnitude", [1e3, 1e30])
def test_far_from_zero_it_is_zero_or_the_convolution(magnitude: float) -> None:
    x = torch.tensor([-magnitude, magnitude]).repeat(1, 2, 3, 1).requires_grad_()
    middle = torch.zeros(2, 1, 3, 3)
    middle[..., 1, 1] = 1
    y = swin_umamba_ext.depthwise_conv_silu(x, middle, torch.zeros(2))
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(y, x.clamp(min=0))
    assert torch.equal(grad, (x > 0).float())


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 3, 5, 2), (1, 2, 6, 1)])
def test_gradcheck(shape: tuple[int, ...]) -> None:
    inputs = [a.requires_grad_() for a in conv_problem(*shape, dtype=torch.float64).arguments]
    assert torch.autograd.gradcheck(swin_umamba_ext.depthwise_conv_silu, inputs)


def test_second_derivative_is_an_error() -> None:
    x, *rest = conv_problem(1, 2, 3, 4).arguments
    x.requires_grad_()
    loss = swin_umamba_ext.depthwise_conv_silu(x, *rest).square().sum()
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives of depthwise_conv_silu"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype: torch.dtype) -> None:
    x, *parameters = [a.requires_grad_() for a in conv_problem(2, 3, 5, 10, dtype=dtype).arguments]
    apart = torch.cat([x, x], dim=-1).detach().requires_grad_()
    for image in (x, apart[..., 10:]):
        torch.library.opcheck(torch.ops.swin_umamba.depthwise_conv_silu.default, (image, *parameters))
        detached = [a.detach() for a in (image, *parameters)]
        torch.library.opcheck(torch.ops.swin_umamba.depthwise_conv_silu_backward.default, (x.detach(), *detached))


def test_a_traced_network_has_torchs_own_functions() -> None:
    arguments = conv_problem(1, 3, 5, 10).arguments
    traced = torch.jit.trace(lambda *a: swin_umamba_ext.depthwise_conv_silu(*a), arguments)
    kinds = {node.kind() for node in traced.graph.nodes()}
    assert {"aten::conv2d", "aten::silu"} <= kinds or {"aten::_convolution", "aten::silu"} <= kinds
    assert not any(kind.startswith("swin_umamba") for kind in kinds)
    torch.testing.assert_close(traced(*arguments), swin_umamba_ext.depthwise_conv_silu(*arguments))


def test_operations_are_those_of_torchs_convolution() -> None:
    x, weight, bias = conv_problem(2, 3, 5, 10).arguments
    with FlopCounterMode(display=False) as seen:
        swin_umamba_ext.depthwise_conv_silu(x, weight, bias)
    with FlopCounterMode(display=False) as wanted:
        F.silu(F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=1, groups=10))
    assert seen.get_total_flops() == wanted.get_total_flops() > 0
    with FlopCounterMode(display=False) as both:
        swin_umamba_ext.depthwise_conv_silu(x.requires_grad_(), weight, bias).sum().backward()
    assert both.get_total_flops() == 3 * seen.get_total_flops()


@given(st.sampled_from([(1, 3, 4, 2), (2, 5, 6, 17)]), st.integers(0, 2))
def test_only_the_gradients_that_are_wanted(shape: tuple[int, ...], wanted: int) -> None:
    problem = conv_problem(*shape)
    arguments = list(problem.arguments)
    arguments[wanted] = arguments[wanted].clone().requires_grad_()
    y = swin_umamba_ext.depthwise_conv_silu(*arguments)
    (grad,) = torch.autograd.grad(y, arguments[wanted], problem.grads["out"])
    assert torch.equal(grad, problem.run()["grad " + list(problem.inputs)[wanted]])
