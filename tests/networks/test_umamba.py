"""Mamba against its definition and mambapy, and what U-Mamba does with odd images and mixed precision."""

import torch
import torch.nn.functional as F
from mambapy.mamba import MambaBlock, MambaConfig
from swin_umamba.networks.mamba_block import Mamba
from swin_umamba.networks.umamba import UMambaBot, UMambaEnc

from swin_umamba_ext import reference


def test_mamba_follows_its_definition():
    torch.manual_seed(0)
    block = Mamba(16, d_state=4, d_conv=3).double()
    x = torch.randn(2, 7, 16, dtype=torch.float64)
    inner, gate = block.in_proj(x).split(32, dim=-1)
    padded = F.pad(inner, (0, 0, 2, 0))
    weight = block.conv1d.weight[:, 0]
    convolved = sum(padded[:, k : k + 7] * weight[:, k] for k in range(3)) + block.conv1d.bias
    u = F.silu(convolved)
    dt, B, C = block.x_proj(u).split([1, 4, 4], dim=-1)
    delta = F.softplus(block.dt_proj(dt))
    y = reference.selective_scan(
        u.transpose(1, 2),
        delta.transpose(1, 2),
        -torch.exp(block.A_log),
        B.transpose(1, 2),
        C.transpose(1, 2),
        block.D,
    )
    torch.testing.assert_close(block(x), block.out_proj(y.transpose(1, 2) * F.silu(gate)))


def test_mamba_agrees_with_mambapy():
    torch.manual_seed(0)
    theirs = MambaBlock(MambaConfig(d_model=32, n_layers=1))
    own = Mamba(32)
    own.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 50, 32)
    with torch.no_grad():
        torch.testing.assert_close(own(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_mamba_is_causal():
    torch.manual_seed(0)
    block, x = Mamba(16), torch.randn(1, 12, 16)
    other = x.clone()
    other[:, 8:] += 1
    with torch.no_grad():
        first, second = block(x), block(other)
    torch.testing.assert_close(first[:, :8], second[:, :8])
    assert not torch.allclose(first[:, 8:], second[:, 8:])


def test_mamba_stays_in_float32_under_autocast():
    network = UMambaBot(1, 2, patch_size=(16, 16))
    seen = []
    network.mamba.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        output = network(torch.randn(1, 1, 32, 32))
    assert seen == [(torch.float32, torch.float32)]
    output.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in network.mamba.parameters())


def test_trains_on_images_smaller_than_its_stride():
    network = UMambaEnc(2, 3, True, patch_size=(32, 32)).train()
    outputs = network(torch.randn(1, 2, 1, 5))
    assert [tuple(y.shape) for y in outputs] == [(1, 3, 1, 5), (1, 3, 1, 2), (1, 3, 1, 1)]
    sum(y.square().mean() for y in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
