"""U-Mamba against the authors' shapes and golden outputs, and Mamba against its definition and mambapy."""

import pytest
import torch
import torch.nn.functional as F
from mambapy.mamba import MambaBlock, MambaConfig
from swin_umamba.networks.mamba_block import Mamba
from swin_umamba.networks.umamba import UMambaBot, UMambaEnc

import swin_umamba_ext
from swin_umamba_ext import reference

from .golden_weights import fill, read_golden, read_shapes

TOLERANCE = 1e-4
NETWORKS = {"umamba_bot": UMambaBot, "umamba_enc": UMambaEnc}
PARAMETERS = {"umamba_bot": 63_344_180, "umamba_enc": 67_333_428}


@pytest.fixture(scope="module", params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    network = NETWORKS[name](in_channels=1, num_classes=14, deep_supervision=True).eval()
    network.load_state_dict(fill(read_shapes(name)))
    return network


def test_parameters_have_the_published_names_and_shapes(name, network):
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert shapes == read_shapes(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


def test_outputs_are_golden_where_the_scan_gives_zero(name, network, monkeypatch):
    """The golden outputs are those of the network with a selective scan that returned zeros.

    Then they are met bit for bit by one thread of the machine that this was found on, and by nothing else that was
    tried: a Mamba output scaled by 1e-8 already shows in them. They hold the convolutions to account (of U-Mamba_Enc,
    whose skips are all zero then, only the decoder's); the scan and the block have the tests below.
    """
    golden = read_golden(name)
    monkeypatch.setattr(swin_umamba_ext, "selective_scan", lambda u, *args, **kwargs: torch.zeros_like(u))
    with torch.no_grad():
        outputs = network(golden["input"])
    assert len(outputs) == 6
    for i, output in enumerate(outputs):
        wanted = golden[f"output_{i}"]
        assert output.shape == wanted.shape
        assert (output - wanted).abs().max() < TOLERANCE * wanted.abs().max()


def test_mamba_layer_is_skip_and_next_input(network, name):
    """What reaches the decoder has passed norm and Mamba, row by row, and nothing was added to it."""
    x = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    seen = []
    handle = network.decoder.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs[0]))
    mamba = network.mamba if name == "umamba_bot" else network.encoder.mamba_layers[-1].mamba
    norm = network.ln if name == "umamba_bot" else network.encoder.mamba_layers[-1].norm
    with torch.no_grad():
        network(x)
        handle.remove()
        stages = network.encoder.stages
        # The map before the last Mamba: the last stage of what reaches the decoder from the stage above.
        bottleneck = stages[-1](seen[-2])
        tokens = norm(bottleneck.permute(0, 2, 3, 1).reshape(1, -1, bottleneck.shape[1]))
        wanted = mamba(tokens).reshape(1, *bottleneck.shape[2:], -1).permute(0, 3, 1, 2)
    torch.testing.assert_close(seen[-1], wanted, rtol=1e-4, atol=1e-5)


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
