"""Weights arrive where they belong, and nowhere else."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import save_file
from swin_umamba import SwinUMamba, SwinUMambaD, VMambaTiny, load_pretrained
from swin_umamba.checkpoints import CheckpointError, LoadReport, read_checkpoint
from swin_umamba.checkpoints.input_channels import adapt_input_channels
from torch import nn
from torch.optim.swa_utils import AveragedModel

from .checkpoints import (
    D_STATE,
    EMBED_DIM,
    SMALL,
    encoder_name,
    released_checkpoint,
    vmamba_weights,
)

PATCH_EMBEDDING = (
    "patch_embed.proj.weight",
    "patch_embed.proj.bias",
    "patch_embed.norm.weight",
    "patch_embed.norm.bias",
)
HEAD = ("norm.weight", "norm.bias", "head.weight", "head.bias")


def copy_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_unchanged(network, before):
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def build(network_class, in_channels, num_classes, embed_dim=EMBED_DIM, depths=SMALL["depths"], d_state=D_STATE):
    return network_class(in_channels, num_classes, embed_dim=embed_dim, depths=depths, d_state=d_state)


def save(weights, path, container):
    """A file with the weights, in one of the ways that there are."""
    match container:
        case "released":
            return released_checkpoint(weights, path)
        case "released, before PyTorch 1.6":
            return released_checkpoint(weights, path, _use_new_zipfile_serialization=False)
        case "safetensors":
            save_file(weights, path)
        case "bare":
            torch.save(weights, path)
        case "DDP":
            torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}}, path)
        case "compiled DDP":
            torch.save({"model": {f"module._orig_mod.{name}": tensor for name, tensor in weights.items()}}, path)
    return path


CONTAINERS = ["released", "released, before PyTorch 1.6", "safetensors", "bare", "DDP", "compiled DDP"]


@given(
    network_class=st.sampled_from([SwinUMamba, SwinUMambaD]),
    container=st.sampled_from(CONTAINERS),
    channels=st.integers(1, 4),
    input_channels=st.sampled_from(["skip", "sum", "mean"]),
    embed_dim=st.sampled_from([4, 8]),
    depths=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 3), st.integers(1, 2)),
    d_state=st.integers(1, 3),
)
def test_vmamba_fills_the_encoder(
    tmp_path_factory, network_class, container, channels, input_channels, embed_dim, depths, d_state
):
    weights = vmamba_weights(embed_dim, depths, d_state)
    path = save(weights, tmp_path_factory.mktemp("loading") / "vmamba.pth", container)
    network = build(network_class, channels, 2, embed_dim, depths, d_state)
    before = copy_of(network)
    report = load_pretrained(network, path, input_channels)
    after = network.state_dict()

    kept = network_class is SwinUMambaD and (channels == 3 or input_channels != "skip")
    expected = {encoder_name(name): tensor for name, tensor in weights.items() if name not in HEAD}
    if not kept:
        expected = {name: tensor for name, tensor in expected.items() if "patch_embed" not in name}
    kernel = "vssm_encoder.patch_embed.proj.weight"
    if kept and channels != 3:
        expected[kernel] = adapt_input_channels(expected[kernel], channels, input_channels)
        assert set(report.adapted) == {kernel}
        assert report.adapted[kernel] == f"3 → {channels} input channels, {input_channels}"
    else:
        assert report.adapted == {}
    for name, tensor in after.items():
        assert torch.equal(tensor, expected.get(name, before[name])), name

    assert {*report.loaded, *report.adapted} == set(expected)
    assert set(report.skipped) == {*HEAD, *(() if kept else PATCH_EMBEDDING)}
    assert set(report.missing) == set(after) - set(expected)
    encoder = sum(parameter.numel() for parameter in network.vssm_encoder.parameters())
    assert report.encoder_coverage == sum(tensor.numel() for tensor in expected.values()) / encoder
    assert f"(embed_dim {embed_dim}, depths {'-'.join(map(str, depths))})" in report.architecture


def test_released_sizes_fill_the_encoder(tmp_path, released_file, network_class):
    weights = read_checkpoint(released_file)["model"]
    with torch.device("meta"):
        network = network_class(in_channels=3, num_classes=8)
    network.to_empty(device="cpu")
    report = load_pretrained(network, released_file)
    assert report.architecture == "VMamba-Tiny (embed_dim 96, depths 2-2-9-2)"
    frozen = [name for name in report.loaded if "patch_embed" not in name]
    network.freeze_encoder()
    assert sorted(frozen) == sorted(name for name, p in network.named_parameters() if not p.requires_grad)
    after = network.state_dict()
    for name, tensor in weights.items():
        if encoder_name(name) in report.loaded:
            assert torch.equal(after[encoder_name(name)], tensor)
    assert (report.encoder_coverage == 1) == (network_class is SwinUMambaD)
    assert len(report.loaded) == (208 if network_class is SwinUMambaD else 204)

    with pytest.raises(CheckpointError, match=r"weights of VMamba-Tiny .*vssmtiny_dp01_ckpt_epoch_292\.pth$"):
        load_pretrained(network, save(vmamba_weights(), tmp_path / "small.pth", "bare"))


def nnunet_checkpoint(network, path):
    """As nnU-Net writes it, with NumPy's numbers in its log."""
    checkpoint = {
        "network_weights": network.state_dict(),
        "optimizer_state": torch.optim.AdamW(network.parameters()).state_dict(),
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(0.1)], "lrs": np.zeros(2)},
        "_best_ema": np.float64(0.5),
        "current_epoch": 100,
        "init_args": {"fold": "all", "device": torch.device("cuda"), "plans": {"dataset_name": "Dataset702"}},
        "trainer_name": "nnUNetTrainerSwinUMamba",
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(checkpoint, path)
    return path


def test_a_checkpoint_of_the_same_network_fills_it(tmp_path, make_network, network_class):
    source, network = make_network(network_class, seed=1), make_network(network_class, seed=2)
    report = load_pretrained(network, nnunet_checkpoint(source, tmp_path / "a.pth"))
    assert_unchanged(network, source.state_dict())
    assert set(report.loaded) == set(source.state_dict())
    assert (dict(report.adapted), dict(report.skipped), report.missing) == ({}, {}, ())
    assert report.encoder_coverage == 1


@pytest.mark.parametrize("input_channels", ["skip", "sum", "mean"])
@pytest.mark.parametrize("channels", [(3, 1), (1, 3), (4, 1), (1, 4)])
def test_other_channels_and_classes(tmp_path, make_network, network_class, input_channels, channels):
    """With 4 channels the first block of this Swin-UMamba needs no projection in its skip connection."""
    source = make_network(network_class, channels[0], num_classes=5, seed=1)
    network = make_network(network_class, channels[1], num_classes=2, seed=2)
    before, given_state = copy_of(network), source.state_dict()
    report = load_pretrained(network, nnunet_checkpoint(source, tmp_path / "a.pth"), input_channels)
    after = network.state_dict()
    heads = {name for name in after if name.startswith(("out_layers.", "decoder.seg_layers."))}
    inputs = ("vssm_encoder.patch_embed.",)
    if network_class is SwinUMamba:
        inputs = ("stem.", "encoder1.layer.conv1.", "encoder1.layer.conv3.")
    kernels = {name for name in after if name.startswith(inputs) and after[name].dim() == 4 and name in given_state}
    for name in after:
        if name in heads or name not in given_state or (input_channels == "skip" and name.startswith(inputs)):
            assert torch.equal(after[name], before[name]), name
            assert name in report.missing
        elif name in kernels:
            adapted = adapt_input_channels(given_state[name], channels[1], input_channels)
            assert torch.equal(after[name], adapted), name
            assert name in report.adapted
        else:
            assert torch.equal(after[name], given_state[name]), name
            assert name in report.loaded
    assert heads <= set(report.skipped)
    assert report.skipped[min(heads)] == "5 classes, the network has 2"


def test_a_classifier_takes_the_released_weights_but_for_its_head(tmp_path):
    weights = vmamba_weights()
    network = VMambaTiny(num_classes=7, **SMALL)
    report = load_pretrained(network, released_checkpoint(weights, tmp_path / "a.pth"))
    assert set(report.skipped) == set(report.missing) == {"head.weight", "head.bias"}
    assert set(report.loaded) == set(weights) - set(report.skipped)
    assert report.encoder_coverage is None


def test_a_pretrained_classifier_fills_the_encoder(tmp_path):
    classifier = VMambaTiny(num_classes=7, **SMALL)
    torch.save({"model": classifier.state_dict(), "epoch": 3}, tmp_path / "a.pth")
    network = build(SwinUMambaD, 3, 2)
    assert load_pretrained(network, tmp_path / "a.pth").encoder_coverage == 1


def test_any_network_takes_its_own_weights(tmp_path):
    source, network = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    torch.save({"network_weights": source.state_dict()}, tmp_path / "a.pth")
    report = load_pretrained(network, tmp_path / "a.pth")
    assert_unchanged(network, source.state_dict())
    assert report.encoder_coverage is None
    assert str(report).splitlines()[1:] == ["  loaded       7  0 (2), 1 (5)"]


class Wrapped(nn.Module):
    """Names its parameters as DDP does."""

    def __init__(self, module):
        super().__init__()
        self.module = module


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
@pytest.mark.parametrize("wrap", [Wrapped, lambda network: Wrapped(torch.compile(network))])
def test_wrapped_networks_are_filled(tmp_path, make_network, wrap):
    source, network = make_network(SwinUMambaD, seed=1), make_network(SwinUMambaD, seed=2)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    report = load_pretrained(wrap(network), tmp_path / "a.pth")
    assert_unchanged(network, source.state_dict())
    assert report.encoder_coverage == 1


AVERAGED = {
    "averaged": lambda network: AveragedModel(network),
    "averaged DDP": lambda network: AveragedModel(Wrapper(network)),
    "DDP of averaged": lambda network: Wrapper(AveragedModel(network)),
    "compiled averaged": lambda network: torch.compile(AveragedModel(network)),
}


class Wrapper(torch.nn.Module):
    """The names of DDP."""

    def __init__(self, network):
        super().__init__()
        self.module = network


@pytest.mark.parametrize("kind", AVERAGED)
def test_averaged_networks_are_read_and_filled(tmp_path, make_network, network_class, kind):
    source = make_network(network_class, seed=3)
    torch.save({"state_dict": AVERAGED[kind](source).state_dict()}, tmp_path / "a.pth")
    for wrap in (lambda network: network, AVERAGED[kind]):
        network = wrap(make_network(network_class))
        report = load_pretrained(network, tmp_path / "a.pth")
        assert report.missing == ()
        (averaging,) = report.skipped.items()
        assert averaging[0].endswith("n_averaged")
        assert averaging[1] == "the number of averaged models"
        weights = list(network.parameters())
        assert all(torch.equal(*pair) for pair in zip(weights, source.parameters(), strict=True))


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, make_network, network_class):
    """However small: nothing says how often it is copied."""
    network = make_network(network_class, in_channels=3)
    before = copy_of(network)
    torch.save(spoiled(f"{FIRST}Ds", lambda value: value[:1].clone().expand(len(value))), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a tensor layers.*Ds that claims more elements than its storage"):
        load_pretrained(network, tmp_path / "a.pth")
    assert_unchanged(network, before)


def test_half_precision_is_converted(tmp_path, make_network):
    source, network = make_network(SwinUMambaD, seed=1).bfloat16(), make_network(SwinUMambaD, seed=2)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    load_pretrained(network, tmp_path / "a.pth")
    assert_unchanged(network, source.float().state_dict())


def test_memory_format_and_trainability_stay(tmp_path, make_network):
    network = make_network(SwinUMamba, in_channels=3)
    network.freeze_encoder()
    strides = {name: parameter.stride() for name, parameter in network.named_parameters()}
    load_pretrained(network, save(vmamba_weights(), tmp_path / "a.pth", "bare"))
    assert {name: parameter.stride() for name, parameter in network.named_parameters()} == strides
    assert not network.vssm_encoder.layers[0].blocks[0].ln_1.weight.requires_grad


def spoiled(name, value):
    weights = vmamba_weights()
    weights[name] = value(weights[name])
    return weights


def without(*names):
    return {name: tensor for name, tensor in vmamba_weights().items() if name not in names}


FIRST = "layers.0.blocks.0.self_attention."
MISFITS = {
    "other embed_dim": (
        lambda: vmamba_weights(16),
        "looks like VMamba .embed_dim 16.*is 16, and 8 in the network.*more",
    ),
    "other depths": (lambda: vmamba_weights(8, (1, 2, 2, 1)), r"depths 1-2-2-1\): layers\.2\.blocks\.1.*no place"),
    "other d_state": (lambda: vmamba_weights(d_state=3), "A_logs is 64×3, and 64×2 in the network"),
    "less": (lambda: without(f"{FIRST}Ds"), rf"vssm_encoder\.{FIRST}Ds is missing in the file"),
    "more": (lambda: {**vmamba_weights(), "layers.0.mlp.weight": torch.ones(1)}, "has no place in the network"),
    "twice": (
        lambda: {**vmamba_weights(), "downsamples.0.norm.bias": torch.ones(32)},
        r"downsamples\.0\.norm\.bias is there twice",
    ),
    "transposed": (lambda: spoiled(f"{FIRST}in_proj.weight", torch.t), "is 8×32, and 32×8 in the network"),
    "integers": (lambda: spoiled(f"{FIRST}Ds", torch.Tensor.int), "numbers of type torch.int32 in"),
    "too large": (lambda: spoiled(f"{FIRST}Ds", lambda t: t.double() * 1e300), "too large for .* torch.float32"),
    "NaN": (lambda: spoiled("layers.3.blocks.0.ln_1.bias", lambda t: t * torch.nan), "NaN or infinite"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_what_does_not_fit_leaves_the_network_as_it_was(tmp_path, make_network, network_class, kind):
    make, message = MISFITS[kind]
    network = make_network(network_class, in_channels=3)
    before = copy_of(network)
    torch.save({"model": make()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(network, tmp_path / "a.pth", "sum")
    assert_unchanged(network, before)


@pytest.mark.parametrize(("given_class", "wanted_class"), [(SwinUMamba, SwinUMambaD), (SwinUMambaD, SwinUMamba)])
def test_the_other_swin_umamba_is_named(tmp_path, make_network, given_class, wanted_class):
    network = make_network(wanted_class)
    before = copy_of(network)
    torch.save(make_network(given_class).state_dict(), tmp_path / "a.pth")
    given_name, wanted_name = (
        {SwinUMamba: "Swin-UMamba", SwinUMambaD: "Swin-UMamba†"}[key] for key in (given_class, wanted_class)
    )
    with pytest.raises(CheckpointError) as raised:
        load_pretrained(network, tmp_path / "a.pth")
    sizes = "(embed_dim 8, depths 1-2-1-1, input channels 1, classes 3)"
    assert f"does not fit {wanted_name} {sizes}. It looks like {given_name} {sizes}: another network. What fits" in str(
        raised.value
    )
    assert_unchanged(network, before)


def test_wrong_arguments(tmp_path, make_network):
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got str"):
        load_pretrained("network", tmp_path / "a.pth")
    with pytest.raises(ValueError, match="input_channels must be one of skip, sum, mean, got 'max'"):
        load_pretrained(make_network(SwinUMamba), tmp_path / "a.pth", "max")


@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from([torch.float32, torch.float64]))
def test_sum_keeps_the_output_of_a_grey_image(source, channels, dtype):
    kernel, grey = torch.randn(6, source, 4, 4, dtype=dtype), torch.randn(1, 1, 8, 8, dtype=dtype)
    adapted = adapt_input_channels(kernel, channels, "sum")
    assert (adapted.dtype, adapted.shape) == (dtype, (6, channels, 4, 4))
    before = nn.functional.conv2d(grey.expand(-1, source, -1, -1), kernel)
    after = nn.functional.conv2d(grey.expand(-1, channels, -1, -1), adapted)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


@given(st.integers(1, 5), st.integers(1, 5))
def test_mean_gives_every_channel_the_mean_kernel(source, channels):
    kernel = torch.randn(6, source, 4, 4)
    adapted = adapt_input_channels(kernel, channels, "mean")
    assert adapted.shape == (6, channels, 4, 4)
    for channel in range(channels):
        torch.testing.assert_close(adapted[:, channel], kernel.mean(1))


def test_adapting_channels_needs_a_way():
    with pytest.raises(ValueError, match="how must be 'sum' or 'mean', got 'skip'"):
        adapt_input_channels(torch.zeros(1, 1, 1, 1), 1, "skip")


def test_sum_keeps_the_network_on_grey_images(tmp_path, make_network):
    source = make_network(SwinUMambaD, in_channels=3, seed=1).eval()
    network = make_network(SwinUMambaD, in_channels=1, seed=2).eval()
    torch.save(source.state_dict(), tmp_path / "a.pth")
    load_pretrained(network, tmp_path / "a.pth", "sum")
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(grey), source(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_the_report_can_be_read(tmp_path, make_network):
    report = load_pretrained(make_network(SwinUMambaD), save(vmamba_weights(), tmp_path / "vmamba [1].pth", "bare"))
    assert isinstance(report, LoadReport)
    lines = str(report).splitlines()
    assert lines[0].startswith("vmamba [1].pth: VMamba (embed_dim 8, depths 1-2-1-1) → Swin-UMamba† (embed_dim 8,")
    assert "norm.weight, norm.bias, head.weight, head.bias: the network has no classification head" in lines[2]
    assert "patch_embed.norm.bias: 3 input channels, the network has 1" in lines[3]
    assert "vssm_encoder (4), decoder (104): not in the file, left as they were" in lines[4]
    assert lines[5].split()[0] == "encoder"
    assert 0 < float(lines[5].split()[1]) < 100


def test_the_report_as_a_table_says_the_same(tmp_path, make_network):
    report = load_pretrained(make_network(SwinUMambaD), save(vmamba_weights(), tmp_path / "vmamba [1].pth", "bare"))
    console = Console(width=300, file=io.StringIO())
    console.print(report)
    assert console.file.getvalue().split() == str(report).split()


def test_tensors_beside_the_weights_are_not_taken_for_them(tmp_path, make_network):
    torch.save({"step": torch.tensor(3), "model": vmamba_weights()}, tmp_path / "a.pth")
    assert load_pretrained(make_network(SwinUMambaD, in_channels=3), tmp_path / "a.pth").encoder_coverage == 1


def test_entries_that_are_no_tensors_are_reported(tmp_path, make_network):
    torch.save({**vmamba_weights(), "_extra_state": {"a": 1}}, tmp_path / "a.pth")
    report = load_pretrained(make_network(SwinUMambaD), tmp_path / "a.pth")
    assert report.skipped["_extra_state"] == "not a tensor"
