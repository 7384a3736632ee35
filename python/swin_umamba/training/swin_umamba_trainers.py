"""nnU-Net trainers of Swin-UMamba and Swin-UMamba†.

They follow the paper's protocol (section 3.2): AdamW, a cosine over the epochs, deep supervision at the
scales of the network, and a pretrained encoder that stays frozen for the first epochs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..networks import SwinUMamba, SwinUMambaD
from .paper_trainer import PaperTrainer
from .schedule import CosineEpochSchedule


class SwinUMambaTrainer(PaperTrainer):
    """What the trainers of Swin-UMamba and Swin-UMamba† share.

    ``pretrained_encoder`` and ``freeze_encoder_epochs`` may be set before ``initialize()`` too.
    """

    network_class: type[nn.Module]

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int | str,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr = 1e-4
        self.weight_decay = 0.05
        self.freeze_encoder_epochs = 10
        self.pretrained_encoder = False

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Build the network; nnU-Net calls this for training and for prediction."""
        return cls.network_class(
            in_channels=num_input_channels,
            num_classes=num_output_channels,
            deep_supervision=enable_deep_supervision,
        )

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, CosineEpochSchedule]:
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.initial_lr,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.999),
            eps=1e-5,
        )
        return optimizer, CosineEpochSchedule(optimizer, self.num_epochs, self.initial_lr)

    def on_train_epoch_start(self) -> None:
        frozen = self.pretrained_encoder and self.current_epoch < self.freeze_encoder_epochs
        network = self._bare_network()
        if frozen:
            network.freeze_encoder()
        else:
            network.unfreeze_encoder()
        super().on_train_epoch_start()


class nnUNetTrainerSwinUMamba(SwinUMambaTrainer):
    """Swin-UMamba: deep supervision at full, 1/2, 1/4 and 1/8 resolution."""

    network_class = SwinUMamba
    deep_supervision_scales = (1.0, 0.5, 0.25, 0.125)


class nnUNetTrainerSwinUMambaD(SwinUMambaTrainer):
    """Swin-UMamba†: deep supervision at full, 1/4, 1/8 and 1/16 resolution."""

    network_class = SwinUMambaD
    deep_supervision_scales = (1.0, 0.25, 0.125, 0.0625)
