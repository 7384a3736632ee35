"""Parameters and operations, by hand on small networks and against the reference on the paper's."""

import sys

import pytest
import torch
import torch.nn.functional as F
from swin_umamba.common.errors import UserError
from swin_umamba.complexity import Complexity, count_complexity
from swin_umamba.networks import SwinUMambaD
from swin_umamba.networks.build import build_model
from swin_umamba.networks.instance_norm import InstanceNorm2d
from swin_umamba.networks.mamba_block import Mamba
from swin_umamba.paper.systems import SYSTEMS
from torch import nn

# Multiply-accumulates in G: all, and the scan in it. U-Mamba's numbers are known without the scan.
REFERENCE = {
    "swin-umamba": (67.998, 3.920),
    "swin-umamba-d": (18.914, 6.414),
    "nnunet": (23.277, 0),
    "segresnet": (24.492, 0),
    "unetr": (42.135, 0),
    "swinunetr": (27.877, 0),
    "umamba-bot": (45.705, None),
    "umamba-enc": (49.634, None),
}
CLOSE = 0.005


def check_reference(name):
    counted = count_complexity(build_model(name), 1, (320, 320))
    operations, scan = REFERENCE[name]
    if scan is None:
        assert (counted.multiply_accumulates - counted.scan) / 1e9 == pytest.approx(operations, rel=CLOSE)
    else:
        assert counted.multiply_accumulates / 1e9 == pytest.approx(operations, rel=CLOSE)
        assert counted.scan / 1e9 == pytest.approx(scan, rel=CLOSE)
    # Two for a multiply-accumulate, one for an operation of the scan, none for the rest.
    assert counted.flops == pytest.approx(2 * counted.multiply_accumulates - counted.scan, rel=0.015)


def test_counts_of_the_reference_dagger():
    check_reference("swin-umamba-d")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REFERENCE if name != "swin-umamba-d"])
def test_counts_of_the_reference(name):
    check_reference(name)


@pytest.mark.slow
def test_nnformer_is_near_the_papers_size():
    counted = count_complexity(build_model("nnformer"), 1, (320, 320))
    assert counted.parameters / 1e6 == pytest.approx(SYSTEMS["nnformer"].parameters, rel=0.06)
    assert counted.multiply_accumulates / 1e9 == pytest.approx(SYSTEMS["nnformer"].operations, rel=CLOSE)


def test_convolution_by_hand():
    network = nn.Conv2d(3, 5, kernel_size=3, padding=1)
    operations = 5 * 3 * 9 * 8 * 6
    assert count_complexity(network, 3, (8, 6)) == Complexity(5 * 3 * 9 + 5, operations, 0, 2 * operations)


class OnPixels(nn.Module):
    """A layer of sequences applied to the pixels of an image."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.flatten(2).transpose(1, 2))


class SelfAttention(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


def test_mamba_by_hand():
    length, dim, inner, rank, state = 12, 16, 32, 1, 16
    scan = 9 * length * inner * state + length * inner
    linear = length * (dim * 2 * inner + inner * (rank + 2 * state) + rank * inner + inner * dim)
    # The padded convolution computes three more steps, which are cut off.
    convolution = (length + 3) * inner * 4
    counted = count_complexity(OnPixels(Mamba(dim)), dim, (3, 4))
    assert counted.scan == scan
    assert counted.multiply_accumulates == scan + linear + convolution


def test_attention_by_hand():
    counted = count_complexity(OnPixels(SelfAttention()), 8, (3, 4))
    assert counted.multiply_accumulates == 2 * 12 * 12 * 8


def test_instance_norm_counts_as_pytorchs():
    theirs = count_complexity(nn.InstanceNorm2d(4, affine=True), 4, (8, 8))
    assert theirs.multiply_accumulates > 0
    assert count_complexity(InstanceNorm2d(4, affine=True), 4, (8, 8)) == theirs


def test_network_stays_as_it_was():
    network = SwinUMambaD(2, 3, True, embed_dim=8, depths=(1, 1, 1, 1)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = count_complexity(network, 2, (32, 64))
    assert network.training
    assert network.deep_supervision
    assert all(tensor.device.type == "cpu" for tensor in network.state_dict().values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert count_complexity(network, 2, (32, 64)) == first


def test_missing_fvcore_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    with pytest.raises(UserError, match=r"needs the package fvcore .* pip install fvcore"):
        count_complexity(nn.Conv2d(1, 1, 1), 1, (4, 4))
