"""The trainers: the paper's optimizer and schedule, deep supervision, freezing, and what is not trained on."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from swin_umamba.errors import RunError
from swin_umamba.training.schedule import CosineEpochSchedule, cosine_learning_rate
from swin_umamba.training.trainers import nnUNetTrainerSwinUMamba, nnUNetTrainerSwinUMambaD, register_trainers

SCALES = {
    nnUNetTrainerSwinUMamba: [1, 1 / 2, 1 / 4, 1 / 8],
    nnUNetTrainerSwinUMambaD: [1, 1 / 4, 1 / 8, 1 / 16],
}
TRAINERS = pytest.mark.parametrize("trainer_class", SCALES, ids=lambda c: c.__name__)


@pytest.fixture
def make_trainer(finished, discs, tmp_path, monkeypatch):
    """A function that makes an initialised trainer on the preprocessed data of the finished run."""
    folder, _ = finished
    monkeypatch.setenv("nnUNet_preprocessed", str(folder / "nnUNet_preprocessed"))
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    plans = json.loads((folder / "nnUNet_preprocessed" / discs.name / "nnUNetPlans.json").read_text())
    dataset_json = json.loads((discs / "dataset.json").read_text())

    def make(trainer_class, **attributes):
        arguments = {**copy.deepcopy(plans), "continue_training": False}, "2d", 0, dataset_json, torch.device("cpu")
        trainer = trainer_class(*arguments)
        trainer.seed = 0
        for name, value in attributes.items():
            setattr(trainer, name, value)
        trainer.initialize()
        return trainer

    return make


def _batch(trainer, value=None):
    rng = torch.Generator().manual_seed(0)
    scales = trainer._get_deep_supervision_scales()
    data = torch.randn(2, 1, 32, 32, generator=rng)
    if value is not None:
        data[0, 0, 3, 3] = value
    sizes = [round(32 * scale[0]) for scale in scales]
    return {
        "data": data,
        "target": [torch.randint(0, 3, (2, 1, n, n), generator=rng, dtype=torch.int16) for n in sizes],
    }


@pytest.mark.parametrize("epochs", [1, 7, 100])
def test_the_schedule_is_torchs_cosine(epochs):
    parameter = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.AdamW([parameter], lr=1e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=epochs, eta_min=1e-6)
    ours = torch.optim.AdamW([parameter], lr=1e-4)
    schedule = CosineEpochSchedule(ours, epochs, 1e-4)
    for epoch in range(epochs):
        schedule.step(epoch)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        theirs.step()
        reference.step()


def test_the_schedule_starts_and_ends_where_the_paper_says():
    assert cosine_learning_rate(0, 100, 1e-4) == 1e-4
    assert cosine_learning_rate(50, 100, 1e-4) == pytest.approx((1e-4 + 1e-6) / 2)
    assert cosine_learning_rate(100, 100, 1e-4) == pytest.approx(1e-6)


@TRAINERS
def test_optimizer_and_scales_are_the_papers(make_trainer, trainer_class):
    trainer = make_trainer(trainer_class)
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    (group,) = trainer.optimizer.param_groups
    assert {key: group[key] for key in ("lr", "weight_decay", "betas", "eps")} == {
        "lr": 1e-4,
        "weight_decay": 0.05,
        "betas": (0.9, 0.999),
        "eps": 1e-5,
    }
    assert trainer._get_deep_supervision_scales() == [[scale, scale] for scale in SCALES[trainer_class]]
    # nnU-Net halves the weight from scale to scale and drops the coarsest.
    assert np.allclose(trainer.loss.weight_factors, np.array([4, 2, 1, 0]) / 7)


@TRAINERS
def test_a_step_trains_and_fits_the_scales(make_trainer, trainer_class):
    trainer = make_trainer(trainer_class)
    trainer.on_train_epoch_start()
    batch = _batch(trainer)
    before = {name: parameter.detach().clone() for name, parameter in trainer.network.named_parameters()}
    first = trainer.train_step(batch)["loss"]
    assert math.isfinite(first)
    changed = [
        name for name, parameter in trainer.network.named_parameters() if not torch.equal(parameter, before[name])
    ]
    assert any(name.startswith("vssm_encoder.layers") for name in changed)
    result = trainer.validation_step(batch)
    assert math.isfinite(result["loss"])
    trainer.set_deep_supervision_enabled(False)
    assert trainer.network(batch["data"]).shape == (2, 3, 32, 32)


def test_only_a_pretrained_encoder_is_frozen_and_only_for_the_first_epochs(make_trainer):
    def trainable(trainer, epoch):
        trainer.current_epoch = epoch
        trainer.logger.local_logger.my_fantastic_logging["lrs"] = [0.0] * epoch
        trainer.on_train_epoch_start()
        encoder = trainer.network.vssm_encoder.named_parameters()
        return {name.split(".")[0]: parameter.requires_grad for name, parameter in encoder}

    pretrained = make_trainer(nnUNetTrainerSwinUMambaD, pretrained_encoder=True)
    assert trainable(pretrained, 0) == {"patch_embed": True, "layers": False, "downsamples": False}
    assert trainable(pretrained, 9) == {"patch_embed": True, "layers": False, "downsamples": False}
    assert all(trainable(pretrained, 10).values())
    assert all(trainable(make_trainer(nnUNetTrainerSwinUMambaD), 0).values())


def test_a_frozen_encoder_is_left_alone_by_weight_decay(make_trainer):
    trainer = make_trainer(nnUNetTrainerSwinUMambaD, pretrained_encoder=True)
    trainer.on_train_epoch_start()
    before = {
        name: parameter.detach().clone() for name, parameter in trainer.network.vssm_encoder.layers.named_parameters()
    }
    trainer.train_step(_batch(trainer))
    for name, parameter in trainer.network.vssm_encoder.layers.named_parameters():
        assert torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(make_trainer, value):
    trainer = make_trainer(nnUNetTrainerSwinUMambaD)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    with pytest.raises(RunError, match=r"the loss became nan in epoch 1 .*--learning-rate"):
        trainer.train_step(_batch(trainer, value))
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.network.state_dict().items())


def test_the_same_seed_gives_the_same_weights_and_another_one_others(make_trainer):
    first, second, other = (make_trainer(nnUNetTrainerSwinUMambaD, seed=seed) for seed in (3, 3, 4))
    name = "vssm_encoder.patch_embed.proj.weight"
    weights = [trainer.network.state_dict()[name] for trainer in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_nnunet_finds_the_trainers_by_name_without_importing_its_own():
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    register_trainers()
    for trainer_class in SCALES:
        assert recursive_find_trainer_class_by_name(trainer_class.__name__) is trainer_class
