"""Instance normalisation in networks: PyTorch's numbers, fused with what follows it in blocks of libraries."""

import copy

import pytest
import torch
import torch.nn.functional as F
from dynamic_network_architectures.building_blocks.residual import BasicBlockD
from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU
from monai.networks.blocks import UnetResBlock
from swin_umamba.networks.build import build_model
from swin_umamba.networks.instance_norm import InstanceNorm2d, fuse_instance_norm
from swin_umamba.paper.systems import SYSTEMS
from torch import nn

import swin_umamba_ext

FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("grad_format", FORMATS)
@pytest.mark.parametrize("image_format", FORMATS)
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


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_plane_becomes_zero(value):
    x = torch.full((2, 3, 5, 5), value, requires_grad=True)
    output = InstanceNorm2d(3)(x)
    output.sum().backward()
    assert output.abs().max() == 0
    assert x.grad.isfinite().all()


def test_second_derivative_is_refused():
    x = torch.randn(1, 1, 3, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(InstanceNorm2d(1)(x).pow(3).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives of instance_norm"):
        grad.sum().backward()


def _layers(kind):
    settings = {"norm_op": InstanceNorm2d, "norm_op_kwargs": {"eps": 1e-3, "affine": True}}
    settings |= {"nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True, "negative_slope": 0.2}}
    if kind == "norm":
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.InstanceNorm2d(4, eps=1e-3, affine=True), nn.ReLU()))
    if kind == "convolution":
        return nn.Sequential(ConvDropoutNormReLU(nn.Conv2d, 3, 4, 3, 1, True, **settings))
    if kind.startswith("nnunet"):
        channels, stride = {"nnunet residual": (3, 1), "nnunet strided": (5, 2)}[kind]
        return nn.Sequential(BasicBlockD(nn.Conv2d, 3, channels, 3, stride, True, **settings))
    return nn.Sequential(
        UnetResBlock(2, 3, 5 if kind == "monai projected" else 3, 3, 1, ("instance", {"affine": True}))
    )


KINDS = ["norm", "convolution", "nnunet residual", "nnunet strided", "monai", "monai projected"]


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_fused_blocks_are_those_of_the_libraries(kind, image_format):
    """Same names of parameters, same results and gradients, and no activation left."""
    block = _layers(kind).double().to(memory_format=image_format)
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    fused = fuse_instance_norm(copy.deepcopy(block))
    assert not [m for m in fused.modules() if type(m) in (nn.InstanceNorm2d, nn.LeakyReLU)]
    assert {n: t.shape for n, t in fused.state_dict().items()} == {n: t.shape for n, t in block.state_dict().items()}
    assert [n for n, _ in fused.named_parameters()] == [n for n, _ in block.named_parameters()]

    image = torch.randn(2, 3, 8, 10, dtype=torch.float64).to(memory_format=image_format)
    grad = torch.randn(block(image).shape, dtype=torch.float64)
    results = []
    for network in (block, fused):
        leaf = image.clone().requires_grad_()
        y = network(leaf)
        results.append((y, *torch.autograd.grad(y, [leaf, *network.parameters()], grad)))
    assert results[1][0].is_contiguous(memory_format=image_format)
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("kind", ["convolution", "nnunet strided", "monai projected"])
def test_maps_stay_bfloat16_under_autocast(kind, monkeypatch):
    fused, seen = fuse_instance_norm(_layers(kind)), []
    own = swin_umamba_ext.instance_norm

    def watched(x, *rest):
        y = own(x, *rest)
        seen.extend([x.dtype, y.dtype])
        return y

    monkeypatch.setattr(swin_umamba_ext, "instance_norm", watched)
    with torch.autocast("cpu", torch.bfloat16):
        assert fused(torch.randn(1, 3, 8, 8)).dtype == torch.bfloat16
    assert set(seen) == {torch.bfloat16}


@pytest.mark.parametrize("image_format", FORMATS)
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


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_network_has_a_block_that_is_not_fused(name):
    network = build_model(name, 1, 3, (64, 64), False)
    left = [
        kind.__name__
        for module in network.modules()
        for kind in (nn.InstanceNorm2d, UnetResBlock, BasicBlockD)
        if type(module) is kind
    ]
    activated = [module for module in network.modules() if isinstance(module, ConvDropoutNormReLU)]
    assert left == []
    assert not any(hasattr(module, "nonlin") for module in activated)
