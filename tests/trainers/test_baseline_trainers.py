"""The baselines' trainers: optimizer, schedule, deep supervision and precision of each, and that they train."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from swin_umamba.paper.systems import SYSTEMS
from swin_umamba.trainers import baseline_trainers
from swin_umamba.trainers.baseline_trainers import BASELINE_TRAINERS
from swin_umamba.trainers.registry import TRAINER_CLASSES
from torch import nn

TRAINERS = {trainer.model: trainer for trainer in BASELINE_TRAINERS}
SGD = {"lr": 1e-2, "weight_decay": 3e-5, "momentum": 0.99, "nesterov": True}
OPTIMIZERS = {
    "nnunet": (torch.optim.SGD, SGD),
    "segresnet": (torch.optim.Adam, {"lr": 1e-4, "weight_decay": 1e-5}),
    "unetr": (torch.optim.AdamW, {"lr": 1e-4, "weight_decay": 0.01}),
    "swinunetr": (torch.optim.AdamW, {"lr": 8e-4, "weight_decay": 0.01}),
    "nnformer": (torch.optim.SGD, SGD),
    "umamba-bot": (torch.optim.SGD, SGD),
    "umamba-enc": (torch.optim.SGD, SGD),
    "nnunet-resenc-m": (torch.optim.SGD, SGD),
    "nnunet-resenc-l": (torch.optim.SGD, SGD),
    "umamba-bot-noscan": (torch.optim.SGD, SGD),
    "umamba-enc-noscan": (torch.optim.SGD, SGD),
}
# Learning rate after a quarter and after half of the epochs, relative to the first.
POLY = (0.75**0.9, 0.5**0.9)
RATES = {
    "nnunet": POLY,
    "segresnet": POLY,
    "unetr": (0.75, 0.5),
    "swinunetr": tuple((1e-6 + (8e-4 - 1e-6) * (1 + math.cos(math.pi * done)) / 2) / 8e-4 for done in (0.25, 0.5)),
    "nnformer": POLY,
    "umamba-bot": POLY,
    "umamba-enc": POLY,
    "nnunet-resenc-m": POLY,
    "nnunet-resenc-l": POLY,
    "umamba-bot-noscan": POLY,
    "umamba-enc-noscan": POLY,
}
WITHOUT_SUPERVISION = {"segresnet", "unetr", "swinunetr"}
LARGE = {"unetr", "swinunetr", "nnformer", "nnunet-resenc-m", "nnunet-resenc-l"}
ALL = pytest.mark.parametrize("name", TRAINERS)

PATCH_SIZE = (64, 32)
PLANS = {
    "dataset_name": "Dataset901_Discs",
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "NaturalImage2DIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "label_manager": "LabelManager",
    "continue_training": False,
    "configurations": {
        "2d": {
            "data_identifier": "nnUNetPlans_2d",
            "batch_size": 2,
            "patch_size": list(PATCH_SIZE),
            "spacing": [1.0, 1.0],
            "batch_dice": True,
            # Of another patch size, as where --patch-size was given.
            "architecture": {"arch_kwargs": {"strides": [[1, 1], [2, 2], [2, 2], [2, 2], [2, 2], [2, 2]]}},
        }
    },
}
DATASET = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "rim": 1, "core": 2}, "file_ending": ".png"}


class Stand(nn.Module):
    """Takes a large network's place where only its outputs' number matters."""

    output_strides = ((1, 1), (2, 2), (4, 2))

    def __init__(self, deep_supervision):
        super().__init__()
        self.head = nn.Conv2d(1, 3, kernel_size=1)
        self.deep_supervision = deep_supervision

    def forward(self, x):
        y = self.head(x)
        return [y[:, :, ::r, ::c] for r, c in self.output_strides] if self.deep_supervision else y


@pytest.fixture
def make_trainer(tmp_path, monkeypatch):
    folder = tmp_path / PLANS["dataset_name"] / "nnUNetPlans_2d"
    folder.mkdir(parents=True)
    (folder / "disc.b2nd").touch()
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    monkeypatch.setenv("nnUNet_results", str(tmp_path))

    def make(name, **attributes):
        trainer = TRAINERS[name](copy.deepcopy(PLANS), "2d", 0, DATASET, torch.device("cpu"))
        trainer.seed = 0
        for key, value in attributes.items():
            setattr(trainer, key, value)
        trainer.initialize()
        return trainer

    return make


@pytest.fixture
def small_network(monkeypatch):
    """What was asked for is returned; a small network is built."""
    asked = []

    def build(*arguments):
        asked.append(arguments)
        return Stand(arguments[-1])

    monkeypatch.setattr(baseline_trainers, "build_model", build)
    return asked


def batch(trainer):
    generator = torch.Generator().manual_seed(0)
    scales = trainer._get_deep_supervision_scales() or [(1, 1)]
    targets = [
        torch.randint(
            0, 3, (2, 1, *(round(n * s) for n, s in zip(PATCH_SIZE, scale, strict=True))), generator=generator
        )
        for scale in scales
    ]
    targets = [target.to(torch.int16) for target in targets]
    return {
        "data": torch.randn(2, 1, *PATCH_SIZE, generator=generator),
        "target": targets if trainer.enable_deep_supervision else targets[0],
    }


def test_every_baseline_has_a_registered_trainer_of_the_name_in_the_table():
    assert {name for name in SYSTEMS if not name.startswith("swin-umamba")} == set(TRAINERS)
    for name, trainer in TRAINERS.items():
        assert trainer.__name__ == SYSTEMS[name].trainer
        assert TRAINER_CLASSES[SYSTEMS[name].trainer] is trainer


@ALL
def test_network_is_built_for_the_data_set(make_trainer, small_network, name):
    trainer = make_trainer(name)
    assert small_network == [(name, 1, 3, PATCH_SIZE, name not in WITHOUT_SUPERVISION)]
    assert trainer.enable_deep_supervision == SYSTEMS[name].deep_supervision == (name not in WITHOUT_SUPERVISION)


@ALL
@pytest.mark.usefixtures("small_network")
def test_scales_are_those_of_the_network(make_trainer, name):
    scales = make_trainer(name)._get_deep_supervision_scales()
    assert scales == (None if name in WITHOUT_SUPERVISION else [[1, 1], [1 / 2, 1 / 2], [1 / 4, 1 / 2]])


@ALL
@pytest.mark.usefixtures("small_network")
def test_optimizer_is_the_systems_own(make_trainer, name):
    optimizer_class, wanted = OPTIMIZERS[name]
    optimizer = make_trainer(name).optimizer
    assert type(optimizer) is optimizer_class
    (group,) = optimizer.param_groups
    assert {key: group[key] for key in wanted} == wanted


@ALL
@pytest.mark.usefixtures("small_network")
def test_schedule_is_the_systems_own(make_trainer, name):
    trainer = make_trainer(name, num_epochs=40)
    rates = []
    for epoch in (0, 10, 20):
        trainer.lr_scheduler.step(epoch)
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    first = OPTIMIZERS[name][1]["lr"]
    assert rates == pytest.approx([first, *(first * rate for rate in RATES[name])], rel=1e-9)


@ALL
@pytest.mark.usefixtures("small_network")
def test_another_learning_rate_scales_the_schedule(make_trainer, name):
    trainer = make_trainer(name, num_epochs=40, initial_lr=0.5)
    trainer.lr_scheduler.step(0)
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5


@ALL
def test_mixed_precision_is_the_systems_own(name):
    assert TRAINERS[name].mixed_precision == (name not in WITHOUT_SUPERVISION)


@pytest.mark.parametrize("name", [name for name in TRAINERS if name not in LARGE])
def test_two_steps_train_a_real_network(make_trainer, name):
    check_two_steps(make_trainer(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGE))
def test_two_steps_train_the_larger_networks(make_trainer, name):
    check_two_steps(make_trainer(name))


def check_two_steps(trainer):
    trainer.on_train_epoch_start()
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    losses = [float(trainer.train_step(batch(trainer))["loss"]) for _ in range(2)]
    assert all(map(math.isfinite, losses))
    assert losses[1] < losses[0]
    after = [parameter.detach() for parameter in trainer.network.parameters()]
    moved = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
    assert sum(moved) > 0.8 * len(moved)
    trainer.network.eval()
    assert math.isfinite(trainer.validation_step(batch(trainer))["loss"])
    trainer.set_deep_supervision_enabled(False)
    assert trainer.network(batch(trainer)["data"]).shape == (2, 3, *PATCH_SIZE)
