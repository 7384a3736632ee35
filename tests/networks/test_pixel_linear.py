"""The linear layer of pixels: one function, whichever of PyTorch's computes it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from swin_umamba.networks import SwinUMambaD, pixel_linear
from swin_umamba.networks.pixel_linear import PixelLinear
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture
def convolutions(monkeypatch):
    """The shapes that are convolved, on a processor without fast products."""
    shapes, conv2d = [], F.conv2d

    def watched(x, *arguments):
        shapes.append(tuple(x.shape))
        return conv2d(x, *arguments)

    monkeypatch.setattr(pixel_linear, "has_slow_float32_products", lambda: True)
    monkeypatch.setattr(F, "conv2d", watched)
    return shapes


@pytest.fixture
def products(convolutions, monkeypatch):
    """The shapes that go by oneDNN's product there."""
    shapes, operator = [], pixel_linear._ONEDNN_PRODUCT
    if operator is None or not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no product of oneDNN's to offer")

    def watched(x, *arguments):
        shapes.append(tuple(x.shape))
        return operator(x, *arguments)

    monkeypatch.setattr(pixel_linear, "_ONEDNN_PRODUCT", watched)
    return shapes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 9, 11, 20), (1, 64, 1, 20), (1, 1, 70, 20)])
def test_it_is_a_linear_layer(convolutions, shape, bias):
    layer = PixelLinear(20, 33, bias=bias)
    x = torch.randn(shape, requires_grad=True)
    for other in (x, torch.cat([x, x], dim=-1)[..., 20:]):  # the second with rows apart
        seen, wanted = layer(other), F.linear(other, layer.weight, layer.bias)
        torch.testing.assert_close(seen, wanted)
        assert seen.is_contiguous()
        grad = torch.randn_like(wanted)
        inputs = [x, *layer.parameters()]
        for pair in zip(
            *(torch.autograd.grad(y, inputs, grad, retain_graph=True) for y in (seen, wanted)), strict=True
        ):
            torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-4)
    assert convolutions == [(shape[0], 20, *shape[1:3])] * 2


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 9, 11, 20), (1, 64, 1, 20), (1, 1, 70, 20)])
def test_without_gradients_it_is_a_product(convolutions, products, shape, bias):
    layer = PixelLinear(20, 33, bias=bias)
    x = torch.randn(shape)
    with torch.no_grad():
        for other in (x, torch.cat([x, x], dim=-1)[..., 20:]):
            seen = layer(other)
            torch.testing.assert_close(seen, F.linear(other, layer.weight, layer.bias))
            assert seen.is_contiguous()
    assert products == [shape] * 2
    assert convolutions == []


@pytest.mark.parametrize(("features", "out"), [(96, 384), (384, 192)])
def test_the_product_has_the_same_bits_for_any_number_of_threads_and_any_batch(products, features, out):
    layer, x = PixelLinear(features, out), torch.randn(3, 20, 20, features)
    threads = torch.get_num_threads()
    try:
        with torch.inference_mode():
            wanted = layer(x)
            for number in (1, 2, 5):
                torch.set_num_threads(number)
                assert torch.equal(layer(x), wanted)
                assert torch.equal(torch.cat([layer(image[None]) for image in x]), wanted)
    finally:
        torch.set_num_threads(threads)
    assert len(products) == 1 + 3 * 4


def test_the_operations_of_the_product_are_counted(products):
    layer, x = PixelLinear(20, 33), torch.randn(2, 9, 11, 20)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(x)
    assert products == [(2, 9, 11, 20)]
    assert counter.get_total_flops() == 2 * 2 * 9 * 11 * 20 * 33


def test_forward_mode_without_gradients_goes_by_the_convolution(products):
    layer, (x, tangent) = PixelLinear(20, 33), torch.randn(2, 1, 8, 8, 20)
    with torch.no_grad():
        _, seen = torch.func.jvp(layer, (x,), (tangent,))
    torch.testing.assert_close(seen, F.linear(tangent, layer.weight))
    assert products == []


def test_without_such_a_product_it_is_convolved(convolutions, monkeypatch):
    monkeypatch.setattr(pixel_linear, "_ONEDNN_PRODUCT", None)
    with torch.no_grad():
        PixelLinear(20, 33)(torch.randn(1, 8, 8, 20))
    assert convolutions == [(1, 20, 8, 8)]


def test_where_it_stays_one(convolutions):
    layer, double = PixelLinear(20, 33), PixelLinear(20, 33).double()
    large = torch.randn(2, 8, 8, 20)
    layer(torch.randn(9, 7, 9, 20))  # 63 pixels, however many images
    layer(torch.randn(70, 20))
    double(large.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(large).dtype == torch.bfloat16
    traced = torch.jit.trace(layer, large, check_trace=False)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(large), traced(large))
    assert convolutions == []
    layer(large)
    assert len(convolutions) == 1


def test_a_network_is_the_same(products, monkeypatch):
    torch.manual_seed(0)
    network = SwinUMambaD(1, 3, embed_dim=8, depths=(1, 1, 1, 1)).eval()
    names = {name for name, module in network.named_modules() if type(module) is nn.Linear}
    assert names == set()
    x = torch.randn(1, 1, 64, 96)
    with torch.no_grad():
        seen = network(x)
        assert len(products) > 10
        monkeypatch.setattr(pixel_linear, "has_slow_float32_products", lambda: False)
        torch.testing.assert_close(seen, network(x), rtol=1e-4, atol=1e-5)
