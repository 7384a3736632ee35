"""The networks without scans are those with them, with the identity in the place of each scan."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from swin_umamba.networks.build import build_model
from swin_umamba.paper.systems import SYSTEMS

import swin_umamba_ext

TWINS = {name: system.twin_of for name, system in SYSTEMS.items() if system.twin_of}
SCAN = ("x_proj", "dt_proj", "A_log", ".Ds", ".D")


def build(name):
    torch.manual_seed(0)
    return build_model(name, 2, 3, (64, 64), deep_supervision=True)


@pytest.fixture
def identity(monkeypatch):
    """Both scans as the identity, with the gate that `selective_scan` has inside; how often they were called."""
    calls = []

    def ss2d(x, *others):
        calls.append("ss2d")
        return x

    def selective_scan(u, *others, z, **options):
        calls.append("selective_scan")
        return u * F.silu(z)

    monkeypatch.setattr(swin_umamba_ext, "ss2d", ss2d)
    monkeypatch.setattr(swin_umamba_ext, "selective_scan", selective_scan)
    return calls


def test_every_system_with_scans_has_a_twin():
    assert set(TWINS.values()) == {name for name, system in SYSTEMS.items() if system.needs_kernels}


@pytest.mark.parametrize(("name", "original"), TWINS.items())
def test_a_twin_is_the_network_with_the_identity_for_a_scan(identity, name, original):
    network, twin = build(original).eval(), build(name).eval()
    weights, twins_weights = network.state_dict(), twin.state_dict()
    removed = weights.keys() - twins_weights.keys()
    assert removed
    assert all(any(part in weight for part in SCAN) for weight in removed)
    assert not [weight for weight in twins_weights if any(part in weight for part in SCAN)]
    assert all(torch.equal(weights[weight], tensor) for weight, tensor in twins_weights.items())
    x = torch.randn(1, 2, 37, 64)
    with torch.no_grad():
        wanted = network(x)
        assert identity
        identity.clear()
        for mine, theirs in zip(twin(x), wanted, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    assert not identity


@pytest.mark.parametrize("name", TWINS)
def test_all_weights_of_a_twin_are_trained(name):
    twin = build(name)
    sum(y.square().mean() for y in twin(torch.randn(2, 2, 64, 64))).backward()
    assert [weight for weight, parameter in twin.named_parameters() if parameter.grad is None] == []
