"""Whole networks in one graph of torch.compile and of torch.export, against themselves."""

import pytest
import torch
from swin_umamba import build_model

IMAGE = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))


def build(name):
    torch.manual_seed(0)
    return build_model(name, in_channels=1, num_classes=3, patch_size=(64, 96), deep_supervision=True).eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin-umamba", "swin-umamba-d", "nnunet", "umamba-bot", "umamba-enc"])
def test_compiled_network_is_the_same(name):
    network = build(name)
    seen = []
    for function in (network, torch.compile(network, fullgraph=True, backend="aot_eager")):
        image = IMAGE.clone().requires_grad_()
        outputs = function(image)
        (grad,) = torch.autograd.grad(sum(y.square().mean() for y in outputs), image)
        seen.append((*outputs, grad))
    torch.testing.assert_close(*seen, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin-umamba", "swin-umamba-d"])
def test_exported_network_is_the_same(name):
    network = build(name)
    with torch.no_grad():
        exported = torch.export.export(network, (IMAGE,)).module()
        torch.testing.assert_close(exported(IMAGE), network(IMAGE), rtol=1e-4, atol=1e-5)
