"""Behaviour that the two networks share, on small ones."""

import io
import subprocess
import sys

import pytest
import torch
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform

import swin_umamba_ext

STRIDES = {"SwinUMamba": (1, 2, 4, 8), "SwinUMambaD": (1, 4, 8, 16)}


def image(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("in_channels", "num_classes"), [(1, 1), (3, 8), (5, 2)])
def test_any_number_of_channels_and_classes(make_small_network, in_channels, num_classes):
    network = make_small_network(in_channels, num_classes)
    assert network(image(2, in_channels, 32, 64)).shape == (2, num_classes, 32, 64)


@pytest.mark.parametrize("size", [(64, 96), (40, 56), (33, 100), (65, 66)])
def test_outputs_fit_the_targets_that_nnunet_downsamples(network_class, make_small_network, size):
    strides = STRIDES[network_class.__name__]
    targets = DownsampleSegForDSTransform([1 / s for s in strides])(segmentation=torch.zeros(1, *size))["segmentation"]
    outputs = make_small_network(deep_supervision=True)(image(1, 1, *size))
    assert [y.shape[2:] for y in outputs] == [target.shape[1:] for target in targets]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 70), (32, 32)])
def test_trains_on_images_smaller_than_its_stride(make_small_network, size):
    network = make_small_network(deep_supervision=True).train()
    outputs = network(image(1, 1, *size))
    assert outputs[0].shape == (1, 3, *size)
    sum(y.square().mean() for y in outputs).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("size", [(40, 56), (5, 7)])
def test_padding_repeats_the_border_and_is_cropped_again(make_small_network, size):
    network, x = make_small_network(), image(1, 2, *size)[:, :1]
    rows = torch.arange(-(-size[0] // 32) * 32).clamp(max=size[0] - 1)
    columns = torch.arange(-(-size[1] // 32) * 32).clamp(max=size[1] - 1)
    padded = x[:, :, rows][:, :, :, columns]
    with torch.no_grad():
        assert torch.equal(network(x), network(padded)[:, :, : size[0], : size[1]])


def test_image_that_fits_is_not_padded(make_small_network, monkeypatch):
    network, x = make_small_network(), image(1, 1, 32, 64)
    seen = []
    monkeypatch.setattr(network, "forward_padded", lambda x: seen.append(x) or [x])
    network(x)
    assert seen[0] is x


def test_deep_supervision_can_be_switched(make_small_network):
    network, x = make_small_network(), image(1, 1, 40, 64)
    with torch.no_grad():
        single = network(x)
        network.deep_supervision = True
        outputs = network(x)
        network.train()
        assert isinstance(network(x), list)
    assert isinstance(outputs, list)
    assert torch.equal(outputs[0], single)


def test_samples_of_a_batch_do_not_mix(make_small_network):
    network, x = make_small_network(in_channels=2), image(3, 2, 64, 32)
    with torch.no_grad():
        together, alone = network(x), torch.cat([network(sample[None]) for sample in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_memory_format_changes_nothing(make_small_network, batch):
    x = image(batch, 2, 32, 32).double()
    seen = []
    for image_format in (torch.contiguous_format, torch.channels_last):
        for weight_format in (torch.contiguous_format, torch.channels_last):
            network = make_small_network(in_channels=2, depths=(1, 1, 1, 1)).double().to(memory_format=weight_format)
            own = x.clone(memory_format=image_format).requires_grad_()
            output = network(own)
            (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
            seen.append((output.detach(), own.grad, *(p.grad for p in network.parameters() if p.grad is not None)))
            assert output.is_contiguous()
    for other in seen[1:]:
        torch.testing.assert_close(other, seen[0], rtol=1e-8, atol=1e-10)


def test_scan_reads_its_image_where_it_lies(make_small_network, monkeypatch):
    """The operator gets the convolved image channels last and contiguous: nothing is copied to fit it."""
    layouts = []

    def record(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds):
        layouts.append((x.dim(), x.is_contiguous()))
        return x * Ds[: x.shape[-1]]

    monkeypatch.setattr(swin_umamba_ext, "ss2d", record)
    make_small_network()(image(2, 1, 64, 32))
    assert len(layouts) >= 5
    assert set(layouts) == {(4, True)}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_trains_under_autocast(make_small_network, dtype):
    network = make_small_network(deep_supervision=True).train()
    with torch.autocast("cpu", dtype):
        outputs = network(image(2, 1, 40, 64))
        loss = sum(y.float().square().mean() for y in outputs)
    loss.backward()
    assert all(y.isfinite().all() for y in outputs)
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in network.parameters())


def test_autocast_stays_close_to_float32(make_small_network):
    network, x = make_small_network(), image(2, 1, 64, 64)
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(x).float()
    assert (rounded - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_can_be_cast_as_a_whole(make_small_network, dtype):
    network, x = make_small_network(), image(1, 1, 40, 64)
    with torch.no_grad():
        exact, cast = network(x), network.to(dtype)(x.to(dtype))
    assert cast.dtype == dtype
    tolerance = 1e-4 if dtype == torch.float64 else 0.1
    assert (cast - exact).abs().max() < tolerance * exact.abs().max()


def test_saved_weights_give_the_same_output(make_small_network):
    network, x = make_small_network(), image(1, 1, 64, 64)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = make_small_network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other(x), network(x))


@pytest.mark.filterwarnings("ignore")
def test_can_be_traced(make_small_network):
    network, x = make_small_network(), image(1, 1, 32, 64)
    traced = torch.jit.trace(network, x, check_trace=False)
    other = image(1, 1, 32, 64, seed=1)
    torch.testing.assert_close(traced(other), network(other), rtol=1e-4, atol=1e-5)


def test_initial_weights_depend_on_the_seed_alone(make_small_network):
    first, second = make_small_network().state_dict(), make_small_network().state_dict()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((1, 64, 64), r"\(1, 64, 64\)"),
        ((1, 1, 4, 64, 64), r"\(1, 1, 4, 64, 64\)"),
        ((2, 3, 32, 32), r"1 input channel.* got 3 "),
        ((0, 1, 32, 32), r"\(0, 1, 32, 32\)"),
        ((1, 1, 0, 32), r"\(1, 1, 0, 32\)"),
    ],
)
def test_wrong_shape_is_named(make_small_network, shape, seen):
    with pytest.raises(ValueError, match=seen):
        make_small_network()(torch.zeros(shape))


def test_wrong_type_is_named(make_small_network):
    with pytest.raises(TypeError, match=r"uint8.*\.float\(\)"):
        make_small_network()(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))
    with pytest.raises(TypeError, match="list"):
        make_small_network()([1.0])


@pytest.mark.parametrize("name", ["in_channels", "num_classes"])
@pytest.mark.parametrize("value", [0, -2])
def test_impossible_number_of_channels_is_named(network_class, name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
        network_class(**{name: value})


@pytest.mark.parametrize("embed_dim", [0, 15])
def test_impossible_width_is_named(network_class, embed_dim):
    with pytest.raises(ValueError, match=f"embed_dim must be a positive even number, got {embed_dim}"):
        network_class(embed_dim=embed_dim)


def test_wrong_number_of_stages_is_named(network_class):
    with pytest.raises(ValueError, match=r"depths must have 4 entries, one for each stage, got \(2, 2, 9\)"):
        network_class(embed_dim=2, depths=(2, 2, 9))


def test_stochastic_depth_follows_the_paper(network_class):
    network = network_class(embed_dim=2)
    encoder = [block.drop_path.p for stage in network.vssm_encoder.layers for block in stage.blocks]
    torch.testing.assert_close(encoder, [0.2 * i / 14 for i in range(15)])
    if network_class.__name__ == "SwinUMambaD":
        decoder = [block.drop_path.p for stage in network.decoder.stages for block in stage.blocks]
        torch.testing.assert_close(decoder, [0.2 - 0.2 * i / 7 for i in range(6)])


def test_importing_the_package_is_light():
    script = "import sys, swin_umamba; print([m for m in ('torch', 'monai', 'nnunetv2') if m in sys.modules])"
    script += "; swin_umamba.SwinUMamba; print('nnunetv2' in sys.modules, 'torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False False"]
