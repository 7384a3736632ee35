"""What the training of every system of the paper's Table 2 shares, on top of nnU-Net's trainer."""

from __future__ import annotations

import contextlib
import math
import os
import random
from time import time
from typing import Any, Protocol

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import join
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn
from torch._dynamo import OptimizedModule

from ..errors import RunError
from ..files import link_atomically, replace_atomically

GRADIENT_NORM_LIMIT = 12  # nnU-Net's


class Observer(Protocol):
    """Is told how the training goes, for instance to draw a progress bar."""

    def iteration_done(self, loss: float | None) -> None:
        """One training iteration (its loss) or validation iteration (``None``) is over."""

    def epoch_done(self, epoch: int, train_loss: float, validation_loss: float, dice: float) -> None:
        """Epoch ``epoch``, counted from 0, is over and its checkpoint is on disk."""


class PaperTrainer(nnUNetTrainer):
    """An nnU-Net trainer as the paper's systems need it; the constructor's arguments are nnU-Net's.

    Loss (Dice + cross-entropy), augmentation, loop and logging are nnU-Net's, and so are optimizer,
    learning-rate schedule, architecture and deep supervision unless a subclass says otherwise:

    - ``build_network_architecture``: the network; it has an attribute ``deep_supervision``.
    - ``configure_optimizers``, with ``initial_lr`` and ``weight_decay`` set in ``__init__``.
    - ``deep_supervision_scales``: resolution of each output relative to the image, full resolution first;
      ``None`` leaves it to nnU-Net. ``self.enable_deep_supervision = False`` in ``__init__`` turns it off.
    - ``mixed_precision``: ``False`` trains in float32 on a GPU as well.
    - ``on_train_epoch_start``, for instance to freeze a part of the network.

    Attributes that may be set before ``initialize()``: ``num_epochs``, ``num_iterations_per_epoch``,
    ``num_val_iterations_per_epoch``, ``initial_lr``, ``seed``, ``observer``.
    """

    deep_supervision_scales: tuple[float, ...] | None = None
    mixed_precision = True

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int | str,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        if not self.is_ddp:
            # nnU-Net turns every CUDA device into the first one.
            self.device = device
        self.num_epochs = 100
        self.save_every = 1
        self.seed: int | None = None
        self.observer: Observer | None = None
        if not self.mixed_precision:
            self.grad_scaler = None
        elif self.device.type == "cuda" and torch.cuda.is_bf16_supported():
            # bfloat16 has the range of float32: no scaler needed, no overflow to NaN.
            torch.set_autocast_dtype("cuda", torch.bfloat16)
            self.grad_scaler = None

    def initialize(self) -> None:
        self._seed_generators(epoch=0)
        super().initialize()

    def _do_i_compile(self) -> bool:
        # nnU-Net compiles unless told not to; here it must be asked for by nnUNet_compile=true.
        return "nnUNet_compile" in os.environ and super()._do_i_compile()

    def _get_deep_supervision_scales(self) -> list[list[float]] | None:
        if not self.enable_deep_supervision:
            return None
        if self.deep_supervision_scales is None:
            return super()._get_deep_supervision_scales()
        return [[scale, scale] for scale in self.deep_supervision_scales]

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        self._bare_network().deep_supervision = enabled

    @staticmethod
    def get_training_transforms(*args: Any, **kwargs: Any) -> Any:
        transforms = nnUNetTrainer.get_training_transforms(*args, **kwargs)
        for transform in transforms.transforms:
            blur = transform.transform if isinstance(transform, RandomTransform) else transform
            if isinstance(blur, GaussianBlurTransform):
                # With benchmark it takes whichever of two algorithms was faster just now, and their
                # results differ in the last digits, from run to run.
                blur.benchmark = False
        return transforms

    def on_epoch_start(self) -> None:
        # One seed for each epoch, so that a resumed run draws what an uninterrupted one would.
        self._seed_generators(self.current_epoch)
        super().on_epoch_start()

    def train_step(self, batch: dict) -> dict:
        data, target = self._to_device(batch)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = self.loss(self.network(data), target)
        if self.grad_scaler is None:
            loss.backward()
        else:
            self.grad_scaler.scale(loss).backward()
            self.grad_scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM_LIMIT)
        value = loss.item()
        if not math.isfinite(value):
            raise RunError(self._stopped_message("the loss", value))
        if self.grad_scaler is None:
            if not math.isfinite(norm.item()):
                raise RunError(self._stopped_message("the norm of the gradient", norm.item()))
            self.optimizer.step()
        else:
            # An infinite gradient is how the scaler learns that its scale is too large.
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        if self.observer is not None:
            self.observer.iteration_done(value)
        return {"loss": np.asarray(value, dtype=np.float32)}

    def validation_step(self, batch: dict) -> dict:
        result = super().validation_step(batch)
        if self.observer is not None:
            self.observer.iteration_done(None)
        return result

    def on_epoch_end(self) -> None:
        """Log the epoch and write its checkpoint.

        Replaces nnU-Net's, which saves the latest checkpoint before it updates the best score in it, writes
        the best one a second time, and draws its progress figure even where an observer shows the progress.
        """
        log = self.logger
        log.log("epoch_end_timestamps", time(), self.current_epoch)
        losses = [float(log.get_value(key, step=-1)) for key in ("train_losses", "val_losses")]
        dice = [float(value) for value in log.get_value("dice_per_class_or_region", step=-1)]
        seconds = log.get_value("epoch_end_timestamps", step=-1) - log.get_value("epoch_start_timestamps", step=-1)
        self.print_to_log_file(
            f"train loss {losses[0]:.4f}, validation loss {losses[1]:.4f}, "
            f"pseudo Dice {[round(value, 4) for value in dice]}, {seconds:.1f} s"
        )
        smoothed = log.get_value("ema_fg_dice", step=-1)
        is_best = self._best_ema is None or smoothed > self._best_ema
        if is_best:
            self._best_ema = smoothed
        last = self.current_epoch == self.num_epochs - 1
        latest = join(self.output_folder, "checkpoint_latest.pth")
        if not last and (is_best or (self.current_epoch + 1) % self.save_every == 0):
            self.save_checkpoint(latest)
        if is_best and self.local_rank == 0 and not self.disable_checkpointing:
            best = join(self.output_folder, "checkpoint_best.pth")
            if last:
                self.save_checkpoint(best)
            else:
                link_atomically(latest, best)
        if self.observer is None:
            if self.local_rank == 0:
                log.plot_progress_png(self.output_folder)
        else:
            self.observer.epoch_done(self.current_epoch, *losses, float(np.nanmean(dice)))
        self.current_epoch += 1

    def save_checkpoint(self, filename: str) -> None:
        """Write nnU-Net's checkpoint; a half-written one never takes the place of a whole one."""
        if self.local_rank != 0 or self.disable_checkpointing:
            return
        checkpoint = {
            "network_weights": self._bare_network().state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": None if self.grad_scaler is None else self.grad_scaler.state_dict(),
            "logging": self.logger.get_checkpoint(),
            "_best_ema": self._best_ema,
            "current_epoch": self.current_epoch + 1,
            "init_args": self.my_init_kwargs,
            "trainer_name": self.__class__.__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
        }
        with replace_atomically(filename) as file:
            torch.save(checkpoint, file)

    def _bare_network(self) -> nn.Module:
        """The network without the wrappers of DDP and torch.compile."""
        network = self.network.module if self.is_ddp else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    def _to_device(self, batch: dict) -> tuple[torch.Tensor, list[torch.Tensor] | torch.Tensor]:
        data = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"]
        if isinstance(target, list):
            return data, [scale.to(self.device, non_blocking=True) for scale in target]
        return data, target.to(self.device, non_blocking=True)

    def _autocast(self) -> contextlib.AbstractContextManager:
        mixed = self.mixed_precision and self.device.type == "cuda"
        return torch.autocast("cuda") if mixed else contextlib.nullcontext()

    def _seed_generators(self, epoch: int) -> None:
        if self.seed is None:
            return
        words = np.random.SeedSequence([self.seed, epoch, self.local_rank]).generate_state(2)
        random.seed(int(words[0]))
        np.random.seed(int(words[0]))  # noqa: NPY002 - the generator that nnU-Net's data loader draws from
        torch.manual_seed(int(words[1]))

    def _stopped_message(self, what: str, value: float) -> str:
        return (
            f"training stopped because {what} became {value} in epoch {self.current_epoch + 1} "
            f"(checkpoints of finished epochs are kept); start a new run with a lower --learning-rate, or look for "
            f"images with extreme intensities"
        )
