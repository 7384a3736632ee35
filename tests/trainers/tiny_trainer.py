"""A trainer small enough for many steps, for the tests and for the processes that they start."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from swin_umamba.networks import SwinUMambaD
from swin_umamba.trainers.registry import nnUNetTrainerSwinUMambaD

GLOBAL_BATCH = 4
"""Images of one iteration in the tests of distributed training."""


class TinySwinUMambaD(nnUNetTrainerSwinUMambaD):
    """Swin-UMamba† with few channels and blocks, and no stochastic depth: every step can be repeated."""

    @classmethod
    def build_network_architecture(
        cls, plans_manager, configuration_manager, n_in, n_out, enable_deep_supervision=True
    ):
        sizes = {"embed_dim": 8, "depths": (1, 1, 1, 1), "drop_path_rate": 0.0}
        return SwinUMambaD(n_in, n_out, enable_deep_supervision, **sizes)


def make_trainer(trainer_class, run: Path, dataset: Path, plan=None, **attributes):
    """An initialised trainer on the preprocessed data of a run, in float32; nnU-Net's environment must be set.

    ``plan`` replaces entries of the 2-D configuration in nnU-Net's plans.
    """
    plans = json.loads((run / "nnUNet_preprocessed" / dataset.name / "nnUNetPlans.json").read_text())
    plans["configurations"]["2d"].update(plan or {})
    dataset_json = json.loads((dataset / "dataset.json").read_text())
    trainer = trainer_class({**plans, "continue_training": False}, "2d", 0, dataset_json, torch.device("cpu"))
    for name, value in {"seed": 0, "amp": "off", **attributes}.items():
        setattr(trainer, name, value)
    trainer.initialize()
    return trainer


def start_epoch(trainer, epoch: int) -> None:
    trainer.current_epoch = epoch
    trainer.logger.local_logger.my_fantastic_logging["lrs"] = [0.0] * epoch
    trainer.on_train_epoch_start()


def make_batch(trainer, size: int = 2, value: float | None = None) -> dict:
    """Noise with random labels; ``value`` is put into one pixel of the first image."""
    rng = torch.Generator().manual_seed(0)
    data = torch.randn(size, 1, 32, 32, generator=rng)
    if value is not None:
        data[0, 0, 3, 3] = value
    sides = [round(32 * scale[0]) for scale in trainer._get_deep_supervision_scales()]
    return {
        "data": data,
        "target": [torch.randint(0, 3, (size, 1, n, n), generator=rng, dtype=torch.int16) for n in sides],
        "keys": [f"case{index}" for index in range(size)],
    }


def pretrained_part(network) -> dict[str, torch.Tensor]:
    """A copy of what freezing covers: the encoder without its patch embedding."""
    return {
        name: parameter.detach().clone()
        for name, parameter in network.vssm_encoder.named_parameters()
        if not name.startswith("patch_embed.")
    }
