"""Instance normalisation."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given

import swin_umamba_ext
from swin_umamba_ext import reference
from swin_umamba_ext.ops.instance_norm import _composed

from ..problems.instance_norm import InstanceNormProblem, instance_norm_problem, norms
from ..problems.problem import assert_same_bits

FORMATS = [torch.contiguous_format, torch.channels_last]


@given(norms())
def test_equals_reference(problem: InstanceNormProblem) -> None:
    seen = problem.run()
    x, y = problem.inputs["x"], seen["y"]
    assert y.dtype == x.dtype
    assert y.is_contiguous() or y.is_contiguous(memory_format=torch.channels_last)
    problem.check(seen)


@pytest.mark.parametrize("grad_format", FORMATS)
@pytest.mark.parametrize("residual_format", FORMATS)
@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("batch", [1, 2])
def test_any_memory_formats(batch, image_format, residual_format, grad_format) -> None:
    """PyTorch's own gradient is wrong where that of one image comes channels last."""
    x, residual, grad = (torch.randn(batch, 5, 6, 7, dtype=torch.float64) for _ in range(3))
    parameters = [torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    results = []
    for module, formats in (
        (swin_umamba_ext, (image_format, residual_format, grad_format)),
        (reference, 3 * FORMATS[:1]),
    ):
        leaves = [t.clone(memory_format=f).requires_grad_() for t, f in zip((x, residual), formats, strict=False)]
        y = module.instance_norm(leaves[0], *parameters, leaves[1], negative_slope=0.01)
        grads = torch.autograd.grad(y, leaves + parameters, grad.clone(memory_format=formats[2]))
        results.append((y, *grads))
    assert results[0][0].is_contiguous(memory_format=image_format)
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("in_dim", [0, 1, -1])
@pytest.mark.parametrize("image_format", FORMATS)
def test_vmap_of_any_memory_format(image_format, in_dim) -> None:
    """As of an ensemble of networks, whose maps lie channels last."""
    image, residual = (torch.randn(2, 5, 6, 7, dtype=torch.float64) for _ in range(2))
    image = image.clone(memory_format=image_format)
    batched = torch.stack([image, -image, 2 * image], in_dim)
    wanted = [reference.instance_norm(x, None, None, residual) for x in batched.unbind(in_dim)]
    for function in (swin_umamba_ext.instance_norm, _composed):
        seen = torch.vmap(lambda x: function(x, None, None, residual, 1e-5, 1.0), in_dims=in_dim)(batched)  # noqa: B023
        torch.testing.assert_close(seen, torch.stack(wanted))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("negative_slope", [1.0, 0.1])
@pytest.mark.parametrize("with_residual", [False, True])
def test_gradients(channels_last: bool, negative_slope: float, with_residual: bool) -> None:
    options = {"channels_last": channels_last, "with_residual": with_residual, "dtype": torch.float64}
    inputs = [None if t is None else t.requires_grad_() for t in _arguments(2, 3, 4, 5, **options)]
    assert torch.autograd.gradcheck(lambda *a: swin_umamba_ext.instance_norm(*a, 1e-5, negative_slope), inputs)


def _arguments(*sizes: int, **options: object) -> list:
    return instance_norm_problem(*sizes, **options).arguments


def test_opcheck() -> None:
    for channels_last in (False, True):
        for residual in (False, True):
            arguments = _arguments(2, 3, 4, 5, with_residual=residual)
            leaves = [None if t is None else t.requires_grad_() for t in arguments]
            if channels_last:
                leaves[1:3] = [None, torch.randn(5, requires_grad=True)]
            operator = torch.ops.swin_umamba.instance_norm.default
            torch.library.opcheck(operator, (*leaves, 1e-5, 0.01, channels_last))


def test_residual_of_another_dtype() -> None:
    x, weight, bias, residual = _arguments(2, 5, 6, 7, with_residual=True)
    seen = swin_umamba_ext.instance_norm(x.bfloat16(), weight, bias, residual)
    assert seen.dtype == torch.bfloat16
    assert torch.equal(seen, swin_umamba_ext.instance_norm(x.bfloat16(), weight, bias, residual.bfloat16()))


def test_parameters_in_half_precision() -> None:
    x, weight, bias, _ = (None if t is None else t.bfloat16() for t in _arguments(2, 5, 6, 7))
    weight.requires_grad_()
    y = swin_umamba_ext.instance_norm(x, weight, bias)
    assert torch.equal(y, swin_umamba_ext.instance_norm(x, weight.float(), bias.float()))
    y.float().square().sum().backward()
    assert weight.grad.dtype == torch.bfloat16


def test_images_that_lie_otherwise() -> None:
    for problem in (instance_norm_problem(2, 6, 7, 8), instance_norm_problem(2, 6, 7, 8, channels_last=True)):
        x, *rest = problem.arguments
        for other in (x[:, :, ::2], x[:, 1:5], x.transpose(2, 3), x[:, :, :, 3:]):
            parameters = [None if t is None else t[: other.shape[1]] for t in rest]
            seen = swin_umamba_ext.instance_norm(other, *parameters)
            torch.testing.assert_close(seen, reference.instance_norm(other, *parameters))


def test_a_plane_of_one_pixel_becomes_its_bias() -> None:
    x, bias = torch.randn(2, 3, 1, 1), torch.randn(3)
    for function in (swin_umamba_ext.instance_norm, reference.instance_norm):
        assert torch.equal(function(x, None, bias), bias[:, None, None].expand_as(x))
    composed = _composed(x, None, bias, None, 1e-5, 1.0)
    torch.testing.assert_close(composed, bias[:, None, None].expand_as(x), rtol=1e-4, atol=1e-4)


def test_gradient_of_a_residual_alone() -> None:
    x, weight, bias, residual = _arguments(2, 5, 6, 7, with_residual=True)
    residual.requires_grad_()
    for slope in (1.0, 0.01):
        y = swin_umamba_ext.instance_norm(x, weight, bias, residual, negative_slope=slope)
        grad = torch.randn_like(y)
        (seen,) = torch.autograd.grad(y, residual, grad)
        assert torch.equal(seen, torch.where(y > 0, grad, slope * grad))


def test_nothing_but_the_input_and_the_result_is_kept() -> None:
    x, weight, bias, residual = _arguments(1, 16, 64, 64, with_residual=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = swin_umamba_ext.instance_norm(x.requires_grad_(), weight, bias, residual, negative_slope=0.01)
    large = {t.data_ptr() for t in kept if t.numel() > 64}
    assert large == {x.data_ptr(), y.data_ptr()}


@pytest.mark.parametrize("options", [{}, {"negative_slope": 0.01}, {"negative_slope": 0.0, "eps": 1e-2}])
@pytest.mark.parametrize("with_residual", [False, True])
def test_traces_have_pytorchs_own(with_residual: bool, options: dict) -> None:
    """And so other programs can read them, and other devices run them."""
    arguments = [t for t in _arguments(2, 5, 6, 7, with_residual=with_residual) if t is not None]

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        return swin_umamba_ext.instance_norm(*tensors, **options)

    traced = torch.jit.trace(function, arguments)
    kinds = {node.kind() for node in traced.inlined_graph.nodes()}
    assert "aten::instance_norm" in kinds
    assert not [kind for kind in kinds if kind.startswith("swin_umamba")]
    torch.testing.assert_close(traced(*arguments), function(*arguments))
    exported = torch.export.export(_Call(function), tuple(arguments))
    assert "swin_umamba" not in exported.graph_module.code
    torch.testing.assert_close(exported.module()(*arguments), function(*arguments))


@pytest.mark.parametrize("channels_last", [False, True])
def test_compiled_gradient_has_the_same_bits(channels_last: bool) -> None:
    def function(*tensors: torch.Tensor) -> torch.Tensor:
        return swin_umamba_ext.instance_norm(*tensors, negative_slope=0.01)

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True, dynamic=True)
    for sizes in ((2, 5, 6, 7), (3, 5, 9, 4)):
        leaves = [t.requires_grad_() for t in _arguments(*sizes, with_residual=True, channels_last=channels_last)]
        results = []
        for call in (compiled, function):
            y = call(*leaves)
            results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
        assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


class _Call(torch.nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.function(*tensors)


def test_composition_is_the_definition() -> None:
    """What other devices run, here on the CPU."""
    for residual in (False, True):
        arguments = _arguments(2, 5, 6, 7, with_residual=residual, dtype=torch.float64)
        seen = _composed(*arguments, 1e-5, 0.01)
        torch.testing.assert_close(seen, reference.instance_norm(*arguments, negative_slope=0.01))
    assert swin_umamba_ext.instance_norm(torch.empty(1, 2, 3, 4, device="meta")).shape == (1, 2, 3, 4)


@pytest.mark.parametrize("dtypes", itertools.product([torch.float32, torch.bfloat16, torch.float16], repeat=4))
def test_composition_takes_what_the_operator_takes(dtypes: tuple[torch.dtype, ...]) -> None:
    arguments = [t.to(dtype) for t, dtype in zip(_arguments(2, 5, 6, 7, with_residual=True), dtypes, strict=True)]
    seen = _composed(*arguments, 1e-5, 0.01)
    wanted = swin_umamba_ext.instance_norm(*arguments, negative_slope=0.01)
    torch.testing.assert_close(seen, wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("image_format", FORMATS)
def test_composition_has_the_memory_format_of_the_image(image_format) -> None:
    x, weight, bias, residual = _arguments(2, 5, 6, 7, with_residual=True)
    x = x.clone(memory_format=image_format)
    for other in (None, residual):
        assert _composed(x, weight, bias, other, 1e-5, 0.01).is_contiguous(memory_format=image_format)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_rounded_once(dtype: torch.dtype) -> None:
    x, weight, bias, residual = _arguments(2, 5, 33, 17, with_residual=True, dtype=dtype)
    wide = swin_umamba_ext.instance_norm(x.float(), weight, bias, residual.float(), negative_slope=0.01)
    assert torch.equal(swin_umamba_ext.instance_norm(x, weight, bias, residual, negative_slope=0.01), wide.to(dtype))


def test_agrees_with_pytorchs() -> None:
    x, weight, bias, _ = _arguments(2, 50, 33, 17)
    wanted = F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias), 0.01)
    torch.testing.assert_close(swin_umamba_ext.instance_norm(x, weight, bias, negative_slope=0.01), wanted)


def test_memory_formats_are_of_one_value() -> None:
    problems = [instance_norm_problem(1, 48, 40, 41, channels_last=last, negative_slope=0.01) for last in (False, True)]
    planes, last = (problem.run() for problem in problems)
    torch.testing.assert_close(planes, last, rtol=1e-5, atol=1e-5)
    assert_same_bits(problems[1].run(), last)
