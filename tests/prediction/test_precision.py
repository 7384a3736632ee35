"""Prediction on a GPU computes in the precision of the training; decided without a GPU."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from swin_umamba.common.errors import UserError
from swin_umamba.prediction import load_predictor, read_model
from swin_umamba.trainers.precision import autocast_dtype

from .conftest import CPU, nnUNetTrainerTiny

GPU = torch.device("cuda")


@pytest.fixture(params=[True, False], ids=["bfloat16 there", "float16 only"])
def gpu_dtype(request, monkeypatch):
    """What ``auto`` is on a GPU that has bfloat16, and on one that has not."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: request.param)
    return torch.bfloat16 if request.param else torch.float16


def test_auto_is_mixed_precision_on_a_gpu_only(gpu_dtype):
    assert autocast_dtype("auto", GPU) == gpu_dtype
    assert autocast_dtype("auto", GPU, mixed_precision=False) is None
    assert autocast_dtype("auto", CPU) is None


@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
@pytest.mark.parametrize("mixed_precision", [True, False])
def test_what_the_user_chose_holds_everywhere(device, mixed_precision):
    assert autocast_dtype("off", device, mixed_precision) is None
    assert autocast_dtype("float16", device, mixed_precision) is torch.float16
    assert autocast_dtype("bfloat16", device, mixed_precision) is torch.bfloat16


def _dtype_inside(predictor, monkeypatch) -> torch.dtype:
    """The type that nnU-Net's autocast takes while it predicts."""
    seen = []
    monkeypatch.setattr(
        nnUNetPredictor,
        "predict_sliding_window_return_logits",
        lambda *args: seen.append(torch.get_autocast_dtype("cuda")),
    )
    before = torch.get_autocast_dtype("cuda")
    predictor.predict_sliding_window_return_logits(torch.zeros(1, 1, 4, 4))
    assert torch.get_autocast_dtype("cuda") == before
    return seen[0]


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_the_predictor_follows_the_training(make_checkpoint, gpu_dtype, monkeypatch):
    model = read_model(make_checkpoint())
    assert load_predictor(model, CPU).precision == "float32"
    assert load_predictor(model, GPU).precision == str(gpu_dtype).removeprefix("torch.")
    assert _dtype_inside(load_predictor(model, GPU), monkeypatch) == gpu_dtype
    monkeypatch.setattr(nnUNetTrainerTiny, "mixed_precision", False)
    assert _dtype_inside(load_predictor(model, GPU), monkeypatch) is torch.float32
    for amp, dtype in (("float16", torch.float16), ("off", torch.float32)):
        model = read_model(make_checkpoint(amp=amp))
        assert _dtype_inside(load_predictor(model, GPU), monkeypatch) is dtype


def test_an_unknown_precision_is_refused(make_checkpoint):
    with pytest.raises(UserError, match=r"checkpoint.pth has the unknown mixed precision 'float8'"):
        read_model(make_checkpoint(amp="float8"))
