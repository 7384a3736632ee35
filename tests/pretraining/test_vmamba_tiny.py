"""The classifier has the names and shapes of the released checkpoint, and is the encoder with a head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from swin_umamba import SwinUMambaD, VMambaTiny

RELEASED = Path(__file__).parent.parent / "data" / "vmamba_tiny.shapes.json"
SMALL = {"embed_dim": 8, "depths": (1, 1, 2, 1), "d_state": 4}


def test_names_and_shapes_are_those_of_the_released_checkpoint():
    network = VMambaTiny()
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert shapes == json.loads(RELEASED.read_text())
    assert sum(parameter.numel() for parameter in network.parameters()) == 22_893_448


def test_it_is_the_encoder_of_swin_umamba_d_then_norm_mean_and_head():
    torch.manual_seed(0)
    network = VMambaTiny(5, **SMALL).eval()
    encoder = SwinUMambaD(3, 2, **SMALL).vssm_encoder.eval()
    renamed = {
        f"downsamples.{name.split('.')[1]}.{name.split('.', 3)[3]}" if ".downsample." in name else name: value
        for name, value in network.state_dict().items()
        if not name.startswith(("norm.", "head."))
    }
    encoder.load_state_dict(renamed)
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        features = encoder(x)[-1]
        torch.testing.assert_close(network(x), network.head(network.norm(features).mean((1, 2))))


def test_every_parameter_gets_a_gradient_at_any_size():
    torch.manual_seed(0)
    network = VMambaTiny(3, in_channels=1, **SMALL)
    output = network(torch.rand(2, 1, 37, 50))
    assert output.shape == (2, 3)
    output.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_stochastic_depth_rises_from_nothing_to_its_rate():
    network = VMambaTiny(2, **{**SMALL, "depths": (1, 2, 2, 1)}, drop_path_rate=0.5)
    rates = [block.drop_path.p for layer in network.layers for block in layer.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"embed_dim": 7}, "embed_dim must be a positive even number, got 7"),
        ({"depths": (2, 2)}, r"depths must have 4 entries, one for each stage, got \(2, 2\)"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        VMambaTiny(**options)
