"""What ``FlopCounterMode`` counts of the operators, in any process that imports them."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import swin_umamba_ext
from swin_umamba_ext import flops


def count(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def make(*shape, device="cpu"):
    return torch.rand(shape, device=device, requires_grad=True)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("skip", [True, False])
def test_selective_scan_forward_and_backward(device, skip):
    batch, dim, length, state = 2, 6, 11, 4
    u, delta, A = make(batch, dim, length, device=device), make(batch, dim, length, device=device), make(dim, state)
    B, C = make(batch, state, length, device=device), make(batch, state, length, device=device)
    A, D = make(dim, state, device=device), make(dim, device=device) if skip else None
    forward = 9 * batch * length * dim * state + (batch * dim * length if skip else 0)

    def scan():
        return swin_umamba_ext.selective_scan(u, delta, A, B, C, D)

    assert count(scan) == forward == flops.scan_operations(batch, length, dim, state, skip)
    assert count(lambda: scan().sum().backward()) == 4 * forward


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_ss2d_is_its_scan_and_its_projections(device):
    batch, height, width, dim, rank, state = 2, 3, 5, 6, 2, 4
    arguments = [
        make(batch, height, width, dim, device=device),
        make(4, rank + 2 * state, dim, device=device),
        make(4, dim, rank, device=device),
        make(4, dim, device=device),
        make(4 * dim, state, device=device),
        make(4 * dim, device=device),
    ]
    pixels = batch * height * width
    scan = 9 * pixels * 4 * dim * state + pixels * 4 * dim
    # dt, B and C of every pixel and direction, then dt for every channel.
    with FlopCounterMode(display=False) as counter:
        x = torch.rand(pixels, dim)
        for _ in range(4):
            (x @ torch.rand(dim, rank + 2 * state))[:, :rank] @ torch.rand(rank, dim)
    projections = counter.get_total_flops()

    def ss2d():
        return swin_umamba_ext.ss2d(*arguments)

    assert count(ss2d) == scan + projections
    assert count(lambda: ss2d().sum().backward()) == 4 * scan + 3 * projections


def test_cross_scan_computes_nothing():
    assert count(lambda: swin_umamba_ext.cross_scan(torch.rand(1, 2, 3, 4))) == 0
