"""nnU-Net trainers of Swin-UMamba and Swin-UMamba†.

They follow the paper's protocol (section 3.2): AdamW, a cosine over the epochs, deep supervision at the
scales of the network, and a pretrained encoder that stays frozen for the first epochs. Those named ``Scratch``
start from random weights.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from batchgenerators.utilities.file_and_folder_operations import join
from torch import nn

from ..checkpoints.encoder_file import find_pretrained_file
from ..common.files import write_json
from ..networks import SwinUMamba, SwinUMambaD
from ..networks.without_scan import SwinUMambaDNoScan, SwinUMambaNoScan
from ..paper.protocol import PaperProtocol, find_protocol
from ..paper.systems import SYSTEMS
from .paper_trainer import PaperTrainer
from .schedule import CosineEpochSchedule

if TYPE_CHECKING:
    from ..checkpoints import LoadReport
    from ..networks.vmamba_segmentation_network import VMambaSegmentationNetwork


class SwinUMambaTrainer(PaperTrainer):
    """What the trainers of Swin-UMamba and Swin-UMamba† share.

    Attributes
    ----------
    pretrained : bool
        Whether the encoder starts from ImageNet weights, which are read when the training starts: never for
        prediction, and never to go on with a training.
    pretrained_file : pathlib.Path or None
        Where they are; ``None`` looks where `swin_umamba.checkpoints.encoder_file` says. May be set before the
        training, like the next two.
    input_channels : str
        See `swin_umamba.load_pretrained`.
    freeze_encoder_epochs : int
        Epochs for which pretrained weights stay as they are; the patch embedding is trained from the start.
    pretrained_report : LoadReport or None
        What was loaded, once it is; also written to ``pretrained.json`` beside the checkpoints.
    """

    network_class: type[nn.Module]
    model: str
    pretrained = True

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr = 1e-4
        self.weight_decay = 0.05
        self.freeze_encoder_epochs = 10
        self.pretrained_file: Path | None = None
        self.input_channels = "skip"
        self.pretrained_report: LoadReport | None = None
        self._random_weight: torch.Tensor | None = None

    def find_paper_protocol(self) -> PaperProtocol | None:
        model = SYSTEMS[self.model].twin_of or self.model
        return find_protocol(self.plans_manager.dataset_name, model, self.pretrained)

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

    def initialize(self) -> None:
        super().initialize()
        self._random_weight = self._encoder_weight().clone()

    def _bare_network(self) -> VMambaSegmentationNetwork:
        return cast("VMambaSegmentationNetwork", super()._bare_network())

    def _encoder_weight(self) -> torch.Tensor:
        return self._bare_network().vssm_encoder.patch_embed.proj.weight.detach()

    def load_pretrained_encoder(self) -> None:
        """Read the ImageNet weights, if this training starts from them and has not started.

        Weights that ``nnUNetv2_train -pretrained_weights`` has loaded since `initialize` take their place.

        The other processes of a distributed training get them from the first one, when DDP wraps the network.

        Raises
        ------
        UserError
            There is no such file, or it does not fit.
        """
        starts = self.current_epoch == 0 and self.pretrained_report is None
        if not (self.pretrained and starts and self.local_rank == 0):
            return
        if self._random_weight is None or not torch.equal(self._encoder_weight(), self._random_weight):
            self.print_to_log_file("The network has been given other weights, so no ImageNet weights are read.")
            return
        from ..checkpoints import load_pretrained

        path = self.pretrained_file or find_pretrained_file(f"-tr {type(self).__name__}Scratch")
        report = self.pretrained_report = load_pretrained(self._bare_network(), path, self.input_channels)
        self.print_to_log_file(str(report))
        os.makedirs(self.output_folder, exist_ok=True)
        content = {**dataclasses.asdict(report), "path": str(report.path)}
        write_json(join(self.output_folder, "pretrained.json"), content)

    def on_train_start(self) -> None:
        if not self.was_initialized:
            self.initialize()
        self.load_pretrained_encoder()
        super().on_train_start()

    def on_train_epoch_start(self) -> None:
        # Without gradients AdamW passes over the frozen parameters, with its weight decay and its momentum too.
        network = self._bare_network()
        if self.pretrained and self.current_epoch < self.freeze_encoder_epochs:
            network.freeze_encoder()
        else:
            network.unfreeze_encoder()
        super().on_train_epoch_start()


class nnUNetTrainerSwinUMamba(SwinUMambaTrainer):
    """Swin-UMamba from ImageNet weights: deep supervision at full, 1/2, 1/4 and 1/8 resolution."""

    network_class = SwinUMamba
    model = "swin-umamba"
    deep_supervision_scales = (1.0, 0.5, 0.25, 0.125)


class nnUNetTrainerSwinUMambaScratch(nnUNetTrainerSwinUMamba):
    """Swin-UMamba from random weights."""

    pretrained = False


class nnUNetTrainerSwinUMambaD(SwinUMambaTrainer):
    """Swin-UMamba† from ImageNet weights: deep supervision at full, 1/4, 1/8 and 1/16 resolution."""

    network_class = SwinUMambaD
    model = "swin-umamba-d"
    deep_supervision_scales = (1.0, 0.25, 0.125, 0.0625)


class nnUNetTrainerSwinUMambaDScratch(nnUNetTrainerSwinUMambaD):
    """Swin-UMamba† from random weights."""

    pretrained = False


class nnUNetTrainerSwinUMambaNoScan(nnUNetTrainerSwinUMambaScratch):
    """Swin-UMamba without scans, from random weights: there are no others for it."""

    network_class = SwinUMambaNoScan
    model = "swin-umamba-noscan"


class nnUNetTrainerSwinUMambaDNoScan(nnUNetTrainerSwinUMambaDScratch):
    """Swin-UMamba† without scans, from random weights: there are no others for it."""

    network_class = SwinUMambaDNoScan
    model = "swin-umamba-d-noscan"
