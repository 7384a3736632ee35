"""nnU-Net trainers of the seven baselines of the paper's Table 2, of nnU-Net's presets, and of U-Mamba without scans.

Each has the optimizer, schedule, deep supervision and precision with which the paper's numbers were made:
those of SegResNet, UNETR, SwinUNETR and the two U-Mambas come from the comparison in U-Mamba
(arXiv:2401.04722), nnU-Net's are its own, and nnFormer is trained as its paper trains it, which is as nnU-Net
is (arXiv:2109.03201).
"""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from torch import nn

from ..networks.build import build_model
from .paper_trainer import PaperTrainer
from .schedule import CosineEpochSchedule


class BaselineTrainer(PaperTrainer):
    """What the trainers of the baselines share: nnU-Net's optimizer and schedule, unless a subclass says otherwise.

    SGD with Nesterov momentum 0.99, weight decay 3e-5, learning rate 1e-2 and a polynomial decay of power 0.9.
    """

    model: str
    """Name of the system in `swin_umamba.paper.systems.SYSTEMS`."""

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
        patch_size = tuple(configuration_manager.patch_size)
        return build_model(cls.model, num_input_channels, num_output_channels, patch_size, enable_deep_supervision)

    def _get_deep_supervision_scales(self) -> list[list[float]] | None:
        if not self.enable_deep_supervision:
            return None
        # nnU-Net's plan holds the scales of another network where the patch size was set by hand.
        return [[1 / rows, 1 / columns] for rows, columns in self._bare_network().output_strides]


class MonaiTrainer(BaselineTrainer):
    """What SegResNet, UNETR and SwinUNETR share: no deep supervision, and float32 throughout."""

    mixed_precision = False
    learning_rate: float

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False
        self.initial_lr = self.learning_rate


class nnUNetTrainerPlainConvUNet(BaselineTrainer):
    """nnU-Net: its own optimizer and schedule, deep supervision at every stage but the coarsest."""

    model = "nnunet"


class nnUNetTrainerUMambaBot(BaselineTrainer):
    """U-Mamba_Bot, trained as nnU-Net is."""

    model = "umamba-bot"


class nnUNetTrainerUMambaEnc(BaselineTrainer):
    """U-Mamba_Enc, trained as nnU-Net is."""

    model = "umamba-enc"


class nnUNetTrainerUMambaBotNoScan(BaselineTrainer):
    """U-Mamba_Bot without scans, trained as U-Mamba_Bot is."""

    model = "umamba-bot-noscan"


class nnUNetTrainerUMambaEncNoScan(BaselineTrainer):
    """U-Mamba_Enc without scans, trained as U-Mamba_Enc is."""

    model = "umamba-enc-noscan"


class nnUNetTrainerResEncM(BaselineTrainer):
    """nnU-Net with a residual encoder, preset M, trained as nnU-Net is."""

    model = "nnunet-resenc-m"


class nnUNetTrainerResEncL(BaselineTrainer):
    """nnU-Net with a residual encoder, preset L, trained as nnU-Net is."""

    model = "nnunet-resenc-l"


class nnUNetTrainerNNFormer(BaselineTrainer):
    """nnFormer, trained as nnU-Net is, with deep supervision at full, 1/4 and 1/8 resolution."""

    model = "nnformer"


class nnUNetTrainerSegResNet(MonaiTrainer):
    """SegResNet: Adam at 1e-4, weight decay 1e-5, polynomial decay of power 0.9."""

    model = "segresnet"
    learning_rate = 1e-4

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.initial_lr, weight_decay=1e-5)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs, exponent=0.9)


class nnUNetTrainerUNETR(MonaiTrainer):
    """UNETR: AdamW at 1e-4, weight decay 0.01, linear decay."""

    model = "unetr"
    learning_rate = 1e-4

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.initial_lr, weight_decay=0.01)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs, exponent=1.0)


class nnUNetTrainerSwinUNETR(MonaiTrainer):
    """SwinUNETR: AdamW at 8e-4, weight decay 0.01, a cosine down to 1e-6."""

    model = "swinunetr"
    learning_rate = 8e-4

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, CosineEpochSchedule]:
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.initial_lr, weight_decay=0.01)
        return optimizer, CosineEpochSchedule(optimizer, self.num_epochs, self.initial_lr)


BASELINE_TRAINERS: tuple[type[PaperTrainer], ...] = (
    nnUNetTrainerPlainConvUNet,
    nnUNetTrainerSegResNet,
    nnUNetTrainerUNETR,
    nnUNetTrainerSwinUNETR,
    nnUNetTrainerNNFormer,
    nnUNetTrainerUMambaBot,
    nnUNetTrainerUMambaEnc,
    nnUNetTrainerResEncM,
    nnUNetTrainerResEncL,
    nnUNetTrainerUMambaBotNoScan,
    nnUNetTrainerUMambaEncNoScan,
)
