"""The CPU's instance normalisation against PyTorch's on contiguous planes."""

import pytest
import torch
import torch.nn.functional as F
from swin_umamba.networks import instance_norm
from swin_umamba.networks.instance_norm import InstanceNorm2d, PlanarInstanceNorm2d, replace_instance_norm
from torch import nn


@pytest.fixture(params=[8, 2**16], ids=["bands", "whole"])
def band_size(request, monkeypatch):
    monkeypatch.setattr(instance_norm, "ELEMENTS_PER_THREAD", request.param)


@pytest.mark.usefixtures("band_size")
@pytest.mark.parametrize("grad_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("image_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 5, 7, 9), (3, 4, 6, 1), (2, 1, 13, 4)])
def test_agrees_with_pytorch(shape, image_format, grad_format):
    x = torch.randn(shape, dtype=torch.float64)
    grad = torch.randn(shape, dtype=torch.float64)
    norm = InstanceNorm2d(shape[1], affine=True).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)

    theirs = x.clone().requires_grad_()
    expected = F.instance_norm(theirs, weight=norm.weight, bias=norm.bias)
    wanted = torch.autograd.grad(expected, [theirs, norm.weight, norm.bias], grad)

    own = x.clone(memory_format=image_format).requires_grad_()
    output = norm(own)
    seen = torch.autograd.grad(output, [own, norm.weight, norm.bias], grad.to(memory_format=grad_format))
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(seen, wanted)


@pytest.mark.usefixtures("band_size")
def test_gradient_is_that_of_the_function():
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(InstanceNorm2d(2).double(), x)


def test_large_mean_costs_no_accuracy():
    """Raw intensities: the spread is 1/1000 of the mean."""
    x = 1000 + torch.randn(1, 3, 64, 64)
    exact = F.instance_norm(x.double())
    assert (InstanceNorm2d(3)(x) - exact).abs().max() < 1e-3


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_plane_becomes_zero(value):
    x = torch.full((2, 3, 5, 5), value, requires_grad=True)
    output = InstanceNorm2d(3)(x)
    output.sum().backward()
    assert output.abs().max() == 0
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_computed_in_float32(dtype):
    x = torch.randn(2, 3, 16, 16).to(dtype)
    output = InstanceNorm2d(3)(x)
    assert output.dtype == dtype
    assert torch.equal(output, InstanceNorm2d(3)(x.float()).to(dtype))


def test_second_derivative_is_refused():
    x = torch.randn(1, 1, 3, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(InstanceNorm2d(1)(x).pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_replacement_reaches_nested_modules():
    block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.InstanceNorm2d(4, eps=1e-3), nn.ReLU()))
    assert replace_instance_norm(block) is block
    replaced = block[1][0]
    assert type(replaced) is InstanceNorm2d
    assert (replaced.num_features, replaced.eps) == (4, 1e-3)


@pytest.mark.parametrize("grad_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("image_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 2])
def test_planar_norm_has_the_right_gradient_in_any_format(batch, image_format, grad_format):
    x = torch.randn(batch, 5, 7, 9, dtype=torch.float64)
    grad = torch.randn(batch, 5, 7, 9, dtype=torch.float64)
    seen = []
    for norm in (PlanarInstanceNorm2d(5, affine=True), InstanceNorm2d(5, affine=True)):
        image = x.clone(memory_format=image_format).requires_grad_()
        # What follows a normalisation may overwrite it.
        output = F.leaky_relu(norm.double()(image), inplace=True)
        output.backward(grad.clone(memory_format=grad_format))
        seen.append((output.detach(), image.grad, norm.weight.grad, norm.bias.grad))
    torch.testing.assert_close(*seen)


def test_replacement_can_be_chosen():
    block = replace_instance_norm(nn.Sequential(nn.InstanceNorm2d(4)), PlanarInstanceNorm2d)
    assert type(block[0]) is PlanarInstanceNorm2d


@pytest.mark.parametrize("image_format", [torch.contiguous_format, torch.channels_last])
def test_compiled_norm_is_the_same(image_format):
    norm = InstanceNorm2d(3, affine=True)
    nn.init.normal_(norm.weight)
    image = torch.randn(2, 3, 5, 7).to(memory_format=image_format)
    grad = torch.randn(2, 3, 5, 7)
    seen = []
    for function in (norm, torch.compile(norm, fullgraph=True, backend="aot_eager")):
        leaf = image.clone().requires_grad_()
        output = function(leaf)
        seen.append((output, *torch.autograd.grad(output, [leaf, norm.weight, norm.bias], grad)))
    torch.testing.assert_close(*seen)
