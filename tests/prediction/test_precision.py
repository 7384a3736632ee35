"""What precision a training and a prediction compute in; of a GPU, decided without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from swin_umamba.common.errors import UserError
from swin_umamba.common.processors import has_bfloat16_units
from swin_umamba.prediction import load_predictor, read_model
from swin_umamba.prediction.arrays import predict_array
from swin_umamba.trainers.precision import autocast_dtype, convert_weights, precision_name, prediction_dtype

from .conftest import CPU, nnUNetTrainerTiny

GPU = torch.device("cuda")


@pytest.fixture(params=[True, False], ids=["bfloat16 there", "float16 only"])
def gpu_dtype(request, monkeypatch):
    """What ``auto`` is on a GPU that has bfloat16, and on one that has not."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: request.param)
    return torch.bfloat16 if request.param else torch.float16


@pytest.fixture(params=[{"avx512_bf16": True}, {"amx_bf16": True}, {"avx512_bf16": False, "avx512_f": True}], ids=str)
def cpu_dtype(request, monkeypatch):
    """What ``auto`` is on CPUs that have units for bfloat16, and on one that has not."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: request.param)
    return torch.bfloat16 if any(request.param[name] for name in request.param if "bf16" in name) else None


def test_auto_is_mixed_precision_on_a_gpu(gpu_dtype):
    assert autocast_dtype("auto", GPU) == gpu_dtype
    assert autocast_dtype("auto", GPU, mixed_precision=False) is None


def test_auto_is_bfloat16_on_a_cpu_that_has_units_for_it(cpu_dtype, monkeypatch):
    assert autocast_dtype("auto", CPU) is cpu_dtype
    assert autocast_dtype("auto", CPU, mixed_precision=False) is None
    assert prediction_dtype("auto", "auto", CPU) is cpu_dtype
    assert prediction_dtype("auto", "auto", CPU, mixed_precision=False) is None
    # On a GPU trained in one or the other: the CPU has its own reasons.
    assert prediction_dtype("auto", "float16", CPU) is cpu_dtype
    assert prediction_dtype("auto", "bfloat16", CPU) is cpu_dtype
    assert prediction_dtype("auto", "off", CPU) is None
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert autocast_dtype("auto", CPU) is None


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="it is Linux that tells")
def test_the_units_of_this_cpu_are_those_that_linux_tells():
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert has_bfloat16_units() == bool(flags & {"avx512_bf16", "amx_bf16"})


@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
@pytest.mark.parametrize("mixed_precision", [True, False])
def test_what_the_user_chose_holds_everywhere(device, mixed_precision):
    assert autocast_dtype("off", device, mixed_precision) is None
    assert autocast_dtype("float16", device, mixed_precision) is torch.float16
    assert autocast_dtype("bfloat16", device, mixed_precision) is torch.bfloat16


def _dtype_inside(predictor) -> torch.dtype:
    """The type that torch's autocast takes while it predicts."""
    before = torch.get_autocast_dtype("cuda")
    with predictor.autocast():
        seen = torch.get_autocast_dtype("cuda")
    assert torch.get_autocast_dtype("cuda") == before
    return seen


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_the_predictor_follows_the_training(make_checkpoint, gpu_dtype, monkeypatch):
    model = read_model(make_checkpoint())
    assert load_predictor(model, GPU).precision == str(gpu_dtype).removeprefix("torch.")
    assert _dtype_inside(load_predictor(model, GPU)) == gpu_dtype
    monkeypatch.setattr(nnUNetTrainerTiny, "mixed_precision", False)
    assert _dtype_inside(load_predictor(model, GPU)) is torch.float32
    for amp, dtype in (("float16", torch.float16), ("off", torch.float32)):
        model = read_model(make_checkpoint(amp=amp))
        assert _dtype_inside(load_predictor(model, GPU)) is dtype


def test_the_predictor_of_a_cpu_follows_its_units_the_training_and_the_user(make_checkpoint, cpu_dtype):
    auto = precision_name(cpu_dtype)
    for amp, precision in (("auto", auto), ("off", "float32"), ("bfloat16", auto), ("float16", auto)):
        model = read_model(make_checkpoint(amp=amp))
        assert load_predictor(model, CPU).precision == precision
        for said in ("float32", "bfloat16"):
            assert load_predictor(model, CPU, precision=said).precision == said
            assert load_predictor(model, GPU, precision=said).precision == said


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_network_computes_in_it_and_the_tiles_are_added_in_float32(make_checkpoint, precision):
    model = read_model(make_checkpoint())
    predictor, full = (load_predictor(model, CPU, precision=name) for name in (precision, "float32"))
    seen = set()
    predictor.networks[0].register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    image = np.random.default_rng(0).normal(100, 50, (1, 1, 60, 70)).astype(np.float32)
    _, probabilities = predict_array(predictor, image, {"spacing": [999.0, 1.0, 1.0]}, with_probabilities=True)
    assert seen == {getattr(torch, precision)}
    _, expected = predict_array(full, image, {"spacing": [999.0, 1.0, 1.0]}, with_probabilities=True)
    # The logits of the tiny network are below one: bfloat16 keeps 8 bits of each value on the way.
    np.testing.assert_allclose(probabilities, expected, atol=0 if precision == "float32" else 0.02)
    assert np.any(probabilities != expected) == (precision == "bfloat16")
    predictor.autocast_dtype = torch.bfloat16
    assert [output.dtype for output in predictor._outputs(torch.zeros(1, 1, 32, 48))] == [torch.float32]


def test_converted_weights_give_the_bits_of_autocast(make_checkpoint, monkeypatch):
    model, image = read_model(make_checkpoint()), torch.randn(1, 40, 60, generator=torch.Generator().manual_seed(0))
    predictor = load_predictor(model, CPU, precision="bfloat16")
    seen = predictor.predict_logits(image[None])
    assert predictor.networks[0].decoder.seg_layers[-1].weight.dtype == torch.bfloat16
    assert predictor.networks[0].vssm_encoder.layers[0].blocks[0].ln_1.weight.dtype == torch.float32
    monkeypatch.setattr("swin_umamba.prediction.predictor.convert_weights", lambda *arguments: None)
    predictor = load_predictor(model, CPU, precision="bfloat16")
    assert torch.equal(seen, predictor.predict_logits(image[None]))
    assert predictor.networks[0].decoder.seg_layers[-1].weight.dtype == torch.float32


def test_of_other_networks_no_weights_are_converted():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    convert_weights(network, torch.bfloat16)
    assert network[0].weight.dtype == torch.float32


def test_an_unknown_precision_is_refused(make_checkpoint):
    with pytest.raises(UserError, match=r"checkpoint.pth has the unknown mixed precision 'float8'"):
        read_model(make_checkpoint(amp="float8"))
