"""Names, shapes, outputs and gradients are those of the authors' implementation."""

import json

import pytest
import torch
from swin_umamba import SwinUMamba, SwinUMambaD

from .golden_weights import DATA, fill, read_golden, read_shapes

TOLERANCE = 1e-4
NETWORKS = {"swin_umamba": SwinUMamba, "swin_umamba_d": SwinUMambaD}
PARAMETERS = {"swin_umamba": 59_889_368, "swin_umamba_d": 27_497_720}
TRAINABLE_WHEN_FROZEN = {"swin_umamba": 37_771_352, "swin_umamba_d": 5_379_704}


@pytest.fixture(scope="module", params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    network = NETWORKS[name](in_channels=1, num_classes=14, deep_supervision=True).eval()
    network.load_state_dict(fill(read_shapes(name)))
    return network


def relative_error(value, golden):
    assert value.shape == golden.shape
    return float((value - golden).abs().max() / golden.abs().max())


def take_golden_sides(network):
    """Move the units that rounding puts on either side of LeakyReLU's kink to the side they had in the golden run.

    20 units of Swin-UMamba's 2.9 million lie within 1e-5 of zero, which is within float32's rounding. The
    gradient jumps where one changes sides, by up to 1 % of its largest value. In exact arithmetic all are
    where the golden run had them but one, which is 2.06e-6 and was negative there.
    """
    units = json.loads((DATA / "golden_swin_umamba.kinks.json").read_text())
    calls = dict.fromkeys({unit["module"] for unit in units}, 0)

    def move(name):
        def hook(module, inputs):
            x = inputs[0].clone()
            for unit in units:
                if unit["module"] == name and unit["call"] == calls[name]:
                    c, h, w = unit["index"]
                    seen = float(x.detach()[0, c, h, w])
                    assert abs(seen - unit["exact"]) < 3e-5
                    x[0, c, h, w] += unit["golden_side"] * 1e-6 - seen
            calls[name] += 1
            return (x,)

        return hook

    handles = [network.get_submodule(name).register_forward_pre_hook(move(name)) for name in calls]
    return calls, handles


def test_parameters_have_the_published_names_and_shapes(name, network):
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert shapes == read_shapes(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


def test_vmamba_tiny_fits_the_encoder(network):
    """The released ImageNet weights have a place each, but for head, norm and patch embedding."""
    encoder = network.vssm_encoder.state_dict()
    own = {key: list(value.shape) for key, value in encoder.items() if not key.startswith("patch_embed.")}
    released = {}
    for key, shape in read_shapes("vmamba_tiny").items():
        if not key.startswith(("head.", "norm.", "patch_embed.")):
            stage = key.split(".")[1]
            released[key.replace(f"layers.{stage}.downsample.", f"downsamples.{stage}.")] = shape
    assert own == released


def test_outputs_are_golden(name, network):
    golden = read_golden(name)
    with torch.no_grad():
        outputs = network(golden["input"])
    assert len(outputs) == 4
    for i, output in enumerate(outputs):
        assert relative_error(output, golden[f"output_{i}"]) < TOLERANCE


def test_gradients_are_golden(name, network):
    golden = read_golden(name)
    calls, handles = take_golden_sides(network) if name == "swin_umamba" else ({}, [])
    x = golden["input"].clone().requires_grad_()
    loss = sum((y * torch.linspace(-1, 1, y.numel()).view_as(y)).mean() for y in network(x))
    loss.backward()
    for handle in handles:
        handle.remove()
    assert all(count == 2 for count in calls.values())
    parameters = dict(network.named_parameters())
    assert [key for key, parameter in parameters.items() if parameter.grad is None] == []
    assert relative_error(loss.detach(), golden["loss"]) < TOLERANCE
    assert relative_error(x.grad, golden["grad_input"]) < TOLERANCE
    for key, value in golden.items():
        if key.startswith("grad:"):
            assert relative_error(parameters[key.removeprefix("grad:")].grad, value) < TOLERANCE, key


def test_frozen_encoder_leaves_the_published_number_trainable(name, network):
    network.freeze_encoder()
    frozen = [key for key, parameter in network.named_parameters() if not parameter.requires_grad]
    assert all(key.startswith("vssm_encoder.") for key in frozen)
    assert not any("patch_embed" in key for key in frozen)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == TRAINABLE_WHEN_FROZEN[name]
    network.unfreeze_encoder()
    assert all(parameter.requires_grad for parameter in network.parameters())
