"""Initialisation, patch layers, padding and the VSS block."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from swin_umamba.networks.padding import crop_to_size, pad_to_multiple, size_at_stride
from swin_umamba.networks.patch_layers import PatchEmbedding, PatchExpanding, PatchMerging
from swin_umamba.networks.ss2d import SS2D
from swin_umamba.networks.vss_block import VSSBlock
from swin_umamba.networks.vssm_encoder import VSSMEncoder
from torch import nn

from swin_umamba_ext import reference


@given(height=st.integers(1, 70), width=st.integers(1, 70), multiple=st.sampled_from([1, 2, 16, 32]))
def test_padding_is_exactly_reversible(height, width, multiple):
    x = torch.rand(2, 1, height, width)
    padded = pad_to_multiple(x, multiple)
    for padded_size, size in zip(padded.shape[2:], (height, width), strict=True):
        assert padded_size % multiple == 0
        assert size <= padded_size < size + multiple
    assert torch.equal(crop_to_size(padded, height, width), x)


@given(size=st.integers(1, 4000), stride=st.sampled_from([1, 2, 4, 8, 16]))
def test_size_at_stride_fits_into_the_padded_map(size, stride):
    padded = -(-size // 32) * 32
    assert 1 <= size_at_stride(size, stride) <= padded // stride
    assert size_at_stride(padded, stride) == padded // stride


def test_patch_merging_orders_neighbours_by_column_then_row():
    merging = PatchMerging(3).double()
    x = torch.randn(2, 6, 4, 3, dtype=torch.float64)
    neighbours = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], dim=-1)
    torch.testing.assert_close(merging(x), merging.reduction(merging.norm(neighbours)))


def test_patch_expanding_fills_each_patch_row_by_row():
    expanding = PatchExpanding(5, 2, 3)
    x = torch.randn(2, 3, 4, 5)
    y, vectors = expanding(x), expanding.expand(x)
    assert y.shape == (2, 6, 8, 3)
    for row in range(2):
        for column in range(2):
            patch = 2 * row + column
            expected = expanding.norm(vectors[..., 3 * patch : 3 * patch + 3])
            torch.testing.assert_close(y[:, row::2, column::2], expected)


def test_patch_embedding_sees_each_patch_alone():
    embedding = PatchEmbedding(2, 8, 4)
    x = torch.randn(1, 2, 8, 12)
    assert embedding(x).shape == (1, 2, 3, 8)
    torch.testing.assert_close(embedding(x)[:, 1, 2], embedding(x[:, :, 4:, 8:])[:, 0, 0])


def test_vss_block_follows_its_definition():
    block = VSSBlock(16, drop_path=0.5, d_state=4).double().eval()
    layer = block.self_attention
    x = torch.randn(2, 5, 3, 16, dtype=torch.float64)

    inner, gate = layer.in_proj(block.ln_1(x)).split(32, dim=-1)
    inner = F.silu(layer.conv2d(inner.permute(0, 3, 1, 2).contiguous())).permute(0, 2, 3, 1).contiguous()
    scanned = reference.ss2d(
        inner, layer.x_proj_weight, layer.dt_projs_weight, layer.dt_projs_bias, layer.A_logs, layer.Ds
    )
    expected = x + layer.out_proj(layer.out_norm(scanned) * F.silu(gate))
    torch.testing.assert_close(block(x), expected)


def test_stochastic_depth_drops_whole_samples_in_training():
    block = VSSBlock(16, drop_path=0.5, d_state=4)
    x = torch.randn(64, 2, 2, 16)
    torch.manual_seed(0)
    with torch.no_grad():
        branch = block.eval()(x) - x
        change = block.train()(x) - x
    kept = change.flatten(1).abs().amax(1) > 0
    assert 16 < int(kept.sum()) < 48
    torch.testing.assert_close(change[kept], 2 * branch[kept], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dim", [16, 96, 100])
def test_ss2d_starts_as_mamba_does(dim):
    torch.manual_seed(0)
    layer = SS2D(dim, d_state=16)
    inner, rank = 2 * dim, -(-dim // 16)
    assert layer.x_proj_weight.shape == (4, rank + 32, inner)
    assert layer.dt_projs_weight.shape == (4, inner, rank)
    step = F.softplus(layer.dt_projs_bias.double())
    assert 1e-3 * (1 - 1e-4) <= step.min() < 1.3e-3
    assert 0.077 < step.max() <= 0.1 * (1 + 1e-4)
    assert abs(step.log10().mean() + 2) < 0.1
    torch.testing.assert_close(layer.A_logs.exp(), torch.arange(1.0, 17).expand(4 * inner, 16))
    assert torch.equal(layer.Ds, torch.ones(4 * inner))
    for weight, fan_in in ((layer.dt_projs_weight, rank), (layer.x_proj_weight, inner)):
        bound = fan_in**-0.5
        assert weight.abs().max() <= bound
        assert abs(weight.std() - bound / 3**0.5) < 0.1 * bound


def test_encoder_starts_as_vmamba_does():
    torch.manual_seed(0)
    encoder = VSSMEncoder(in_channels=2, patch_size=4, dims=(16, 32, 64, 128), depths=(1, 1, 1, 1))
    linears = [module for module in encoder.modules() if isinstance(module, nn.Linear)]
    norms = [module for module in encoder.modules() if isinstance(module, nn.LayerNorm)]
    assert len(linears) == 4 * 2 + 3
    assert len(norms) == 4 * 2 + 3 + 1
    assert all(abs(linear.weight.std() - 0.02) < 0.002 for linear in linears)
    assert all(norm.eps == 1e-5 and norm.weight.eq(1).all() and norm.bias.eq(0).all() for norm in norms)


def test_encoder_halves_the_resolution_at_each_stage():
    encoder = VSSMEncoder(in_channels=2, patch_size=4, dims=(16, 32, 64, 128), depths=(1, 1, 1, 1), d_state=4)
    shapes = [tuple(feature.shape) for feature in encoder(torch.randn(2, 2, 64, 32))]
    assert shapes == [(2, 16, 8, 16), (2, 8, 4, 32), (2, 4, 2, 64), (2, 2, 1, 128)]
