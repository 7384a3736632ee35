"""Names, shapes, wiring, outputs and gradients are those of the authors' implementation."""

import pytest
import torch
from swin_umamba import SwinUMamba, SwinUMambaD
from swin_umamba.networks.umamba import UMambaBot, UMambaEnc

from .golden_weights import fill, read_golden, read_shapes

NETWORKS = {
    "swin_umamba": SwinUMamba,
    "swin_umamba_d": SwinUMambaD,
    "umamba_bot": UMambaBot,
    "umamba_enc": UMambaEnc,
}
PARAMETERS = {
    "swin_umamba": 59_889_368,
    "swin_umamba_d": 27_497_720,
    "umamba_bot": 63_344_180,
    "umamba_enc": 67_333_428,
}
TRAINABLE_WHEN_FROZEN = {"swin_umamba": 37_771_352, "swin_umamba_d": 5_379_704}
FLOAT32_TOLERANCE = 1e-4
# In float32 the authors' own U-Mamba_Enc is 3e-3 away from float64: with these weights it is badly conditioned.
FLOAT32_OUTPUT_TOLERANCE = {"umamba_enc": 2 * 3e-3}
# 20 of 2.9 million inputs of LeakyReLU are within float32's rounding of zero, where the gradient jumps.
FLOAT32_GRADIENT_TOLERANCE = {"swin_umamba": 1e-2}


@pytest.fixture(scope="module", params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    network = NETWORKS[name](in_channels=1, num_classes=14, deep_supervision=True).eval()
    network.load_state_dict(fill(read_shapes(name)))
    return network


def of(*names):
    return pytest.mark.parametrize("name", names, indirect=True)


def golden_errors(network, golden):
    """The errors of outputs, loss and gradients by their golden names, relative to the largest golden value."""
    network.zero_grad()
    dtype = next(network.parameters()).dtype
    x = golden["input"].to(dtype, copy=True).requires_grad_()
    with torch.set_grad_enabled("loss" in golden):
        outputs = network(x)
    seen = {f"output_{i}": output for i, output in enumerate(outputs)}
    assert seen.keys() == {key for key in golden if key.startswith("output_")}
    if "loss" in golden:
        loss = sum((y * torch.linspace(-1, 1, y.numel(), dtype=dtype).view_as(y)).mean() for y in outputs)
        loss.backward()
        gradients = {f"grad:{key}": parameter.grad for key, parameter in network.named_parameters()}
        assert [key for key, gradient in gradients.items() if gradient is None] == []
        seen |= {"loss": loss, "grad_input": x.grad, **gradients}
    return {key: relative_error(seen[key].detach(), value) for key, value in golden.items() if key != "input"}


def relative_error(value, golden):
    assert value.shape == golden.shape
    return float((value - golden).abs().max() / golden.abs().max())


def test_parameters_have_the_published_names_and_shapes(name, network):
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert shapes == read_shapes(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@of("swin_umamba", "swin_umamba_d")
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


def test_float64_is_golden(name, network):
    network.double()
    try:
        errors = golden_errors(network, read_golden(name))
    finally:
        network.float()
    assert all(error <= 1e-6 for error in errors.values()), errors


def test_float32_is_golden(name, network):
    for key, error in golden_errors(network, read_golden(name)).items():
        tolerances = FLOAT32_GRADIENT_TOLERANCE if key.startswith("grad") else FLOAT32_OUTPUT_TOLERANCE
        assert error < tolerances.get(name, FLOAT32_TOLERANCE), key


@of("umamba_bot", "umamba_enc")
def test_mamba_layer_is_skip_and_next_input(name, network):
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


@of("swin_umamba", "swin_umamba_d")
def test_frozen_encoder_leaves_the_published_number_trainable(name, network):
    network.freeze_encoder()
    frozen = [key for key, parameter in network.named_parameters() if not parameter.requires_grad]
    assert all(key.startswith("vssm_encoder.") for key in frozen)
    assert not any("patch_embed" in key for key in frozen)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == TRAINABLE_WHEN_FROZEN[name]
    network.unfreeze_encoder()
    assert all(parameter.requires_grad for parameter in network.parameters())
