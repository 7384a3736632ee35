"""What the training of every system of the paper's Table 2 shares, on top of nnU-Net's trainer."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import join
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from torch import distributed, nn
from torch._dynamo import OptimizedModule
from torch.nn.parallel import DistributedDataParallel

from ..checkpoints import CheckpointError
from ..checkpoints.writing import write_checkpoint
from ..common.errors import RunError, UserError
from ..common.exit_codes import EXIT_FAILED
from ..common.files import link_atomically, write_json
from ..common.processes import end_in_silence
from ..common.text import one_line
from ..paper.protocol import PaperProtocol, find_protocol
from ..runs.last_checkpoint import explain_damaged
from .nonfinite import find_bad_images, save_step
from .observer import Observer
from .precision import autocast_dtype, precision_name
from .saved_state import check_optimizer, check_written_by, read_state
from .worker_numbers import OwnTorchNumbers

if TYPE_CHECKING:
    from ..networks.segmentation_network import SegmentationNetwork

GRADIENT_NORM_LIMIT = 12  # nnU-Net's
MAX_SKIPPED_STEPS = 30
"""Steps in a row that the gradient scaler may skip; its scale of 65536 is below 1 after 17."""


class PaperTrainer(nnUNetTrainer):
    """An nnU-Net trainer as the paper's systems need it; the constructor's arguments are nnU-Net's.

    Loss (Dice + cross-entropy), augmentation, loop and logging are nnU-Net's, and so are optimizer,
    learning-rate schedule, architecture and deep supervision unless a subclass says otherwise:

    - ``build_network_architecture``: the network; it has an attribute ``deep_supervision``.
    - ``configure_optimizers``, with ``initial_lr`` and ``weight_decay`` set in ``__init__``.
    - ``deep_supervision_scales``: resolution of each output relative to the image, full resolution first;
      ``None`` leaves it to nnU-Net. ``self.enable_deep_supervision = False`` in ``__init__`` turns it off.
    - ``mixed_precision``: ``False`` trains in float32 everywhere, unless ``amp`` says otherwise.
    - ``on_train_epoch_start``, for instance to freeze a part of the network (before calling this class's).

    What this class adds: the paper's epochs on the paper's data sets, a seed, observers, checkpoints that are whole
    whenever the process is killed, a stop where the loss is no longer finite, training on several CPUs or on the
    GPUs of several nodes.

    Attributes that may be set before ``initialize()``, beside nnU-Net's such as ``num_epochs``:

    Attributes
    ----------
    seed : int or None
        Of weights, sampling and augmentation; ``None`` leaves them to chance.
    observers : sequence of Observer
        Are told how the training goes, in their order.
    checkpoint_epoch : int or None
        An epoch, counted from 0, whose checkpoint is kept as ``checkpoint_epoch_N.pth``.
    amp : str
        Mixed precision: ``"bfloat16"``, ``"float16"`` (with a gradient scaler), ``"off"``, or ``"auto"``, see
        `autocast_dtype`.
    """

    deep_supervision_scales: tuple[float, ...] | None = None
    mixed_precision = True

    # nnU-Net's, for who reads or checks the types.
    network: nn.Module
    current_epoch: int
    is_ddp: bool
    _best_ema: float | None

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        # nnU-Net takes the first GPU, or with DDP the one with the number of the process among those of all nodes.
        if device.type == "cuda" and device.index is None and self.is_ddp:
            device = torch.device("cuda", torch.cuda.current_device())
        self.device = device
        protocol = self.find_paper_protocol()
        if protocol is not None and protocol.deep_supervision is not None:
            self.enable_deep_supervision = protocol.deep_supervision
        self.num_epochs = 100 if protocol is None else protocol.epochs
        self.checkpoint_epoch = None if protocol is None else protocol.checkpoint_epoch
        self.save_every = 1
        self.seed: int | None = None
        self.observers: Sequence[Observer] = ()
        self.amp = "auto"
        self._amp_dtype: torch.dtype | None = None
        self._iteration = 0
        self._skipped_steps = 0
        self._trained_when_wrapped: list[bool] = []

    @property
    def precision(self) -> str:
        """The type that the network computes in once it is there, ``"bfloat16"`` for instance."""
        return precision_name(self._amp_dtype)

    def find_paper_protocol(self) -> PaperProtocol | None:
        """The paper's protocol for the data set, or ``None`` for other data sets."""
        return find_protocol(self.plans_manager.dataset_name)

    def initialize(self) -> None:
        """Build network, optimizer and loss.

        nnU-Net wraps the network in DDP here, for a GPU and for good. This is done at the start of an epoch instead,
        since DDP must be told anew whenever other parameters are trained than before.
        """
        self._seed_generators(epoch=0)
        self._amp_dtype = autocast_dtype(self.amp, self.device, self.mixed_precision)
        self.grad_scaler = torch.GradScaler(self.device.type) if self._amp_dtype is torch.float16 else None
        if self.device.type == "cuda":
            # What nnU-Net's validation uses.
            torch.set_autocast_dtype("cuda", self._amp_dtype or torch.float32)
        is_ddp, self.is_ddp = self.is_ddp, False
        super().initialize()
        self.is_ddp = is_ddp
        if is_ddp:
            self._set_batch_size_and_oversample()
            self.loss = self._build_loss()

    def _build_loss(self) -> nn.Module:
        loss = super()._build_loss()
        if self.is_ddp and isinstance(loss, DeepSupervisionWrapper) and len(loss.weight_factors) > 1:
            # nnU-Net gives the coarsest scale no weight, but with DDP a tiny one, as DDP wants to see every parameter
            # used; here it is told that some may not be, and the loss is that of a single process.
            weights = np.array(loss.weight_factors)
            weights[-1] = 0
            loss.weight_factors = tuple(weights / weights.sum())
        return loss

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
        transforms.transforms.insert(0, OwnTorchNumbers())
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

    def on_train_start(self) -> None:
        """Write what nnU-Net keeps beside the checkpoints, and start the data loaders.

        Replaces nnU-Net's, in which every process of a distributed training writes these files.
        """
        if not self.was_initialized:
            self.initialize()
        if self.local_rank == 0:
            self._write_files_of_the_start()
        if self.is_ddp:
            distributed.barrier()
        # Workers start with a copy of torch's generator: one for each epoch that a training is resumed after.
        self._seed_generators(self.current_epoch)
        self.dataloader_train, self.dataloader_val = self.get_dataloaders()
        self.set_deep_supervision_enabled(self.enable_deep_supervision)
        self.print_plans()
        self._save_debug_information()
        for observer in self.observers:
            observer.training_begins(self)

    def _write_files_of_the_start(self) -> None:
        os.makedirs(self.output_folder, exist_ok=True)
        self.do_split()
        self.dataset_class.unpack_dataset(
            self.preprocessed_dataset_folder,
            overwrite_existing=False,
            num_processes=max(1, get_allowed_n_proc_DA() // 2),
            verify=True,
        )
        write_json(join(self.output_folder_base, "plans.json"), self.plans_manager.plans)
        write_json(join(self.output_folder_base, "dataset.json"), self.dataset_json)
        fingerprint = "dataset_fingerprint.json"
        shutil.copyfile(
            join(self.preprocessed_dataset_folder_base, fingerprint), join(self.output_folder_base, fingerprint)
        )

    def on_train_epoch_start(self) -> None:
        if self.is_ddp:
            self._wrap_in_ddp()
        self._iteration = 0
        super().on_train_epoch_start()

    def _wrap_in_ddp(self) -> None:
        trained = [parameter.requires_grad for parameter in self.network.parameters()]
        wrapped = isinstance(self.network, DistributedDataParallel)
        if wrapped and trained == self._trained_when_wrapped:
            return
        network = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        # The former wrapper takes its hooks off the parameters when it goes.
        self.network = network
        gc.collect()
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.network = DistributedDataParallel(
            network,
            device_ids=[self.device.index] if on_gpu else None,
            # The head of the coarsest scale, which has no weight in the loss.
            find_unused_parameters=True,
        )
        self._trained_when_wrapped = trained

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        for observer in self.observers:
            observer.step_begins()
        data, target = self._to_device(batch)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            output = self.network(data)
        loss = self.loss(_in_float32(output), target)
        if self.grad_scaler is None:
            loss.backward()
        else:
            self.grad_scaler.scale(loss).backward()
            self.grad_scaler.unscale_(self.optimizer)
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        value = loss.item()
        self._stop_unless_finite(value, norm.item(), batch)
        nn.utils.clip_grads_with_norm_(parameters, GRADIENT_NORM_LIMIT, norm)
        if self.grad_scaler is None:
            self.optimizer.step()
        else:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        self._iteration += 1
        for observer in self.observers:
            observer.iteration_done(value)
        return {"loss": np.asarray(value, dtype=np.float32)}

    def _stop_unless_finite(self, loss: float, norm: float, batch: dict[str, Any]) -> None:
        """Before the weights are touched: raise `RunError` where loss or gradient is NaN or infinite."""
        norm_is_bad = not math.isfinite(norm)
        if self.grad_scaler is not None:
            # An infinite gradient is how the scaler learns that its scale is too large, and it skips the step.
            self._skipped_steps = self._skipped_steps + 1 if norm_is_bad else 0
            norm_is_bad = self._skipped_steps > MAX_SKIPPED_STEPS
        loss_is_bad = not math.isfinite(loss)
        if self._first_process(loss_is_bad or norm_is_bad) is None:
            return
        # One bad image spoils the gradient of all processes, and a Dice of the whole batch their loss too.
        for cause in (bool(find_bad_images(batch["data"])), loss_is_bad, True):
            process = self._first_process(cause)
            if process is not None:
                break
        message = self._save_bad_step(loss, norm, batch) if process == self.local_rank else ""
        if self.is_ddp:
            distributed.barrier()
        if process != self.local_rank:
            end_in_silence(EXIT_FAILED)
        raise RunError(message)

    def _save_bad_step(self, loss: float, norm: float, batch: dict[str, Any]) -> str:
        path = Path(self.output_folder, f"nonfinite_epoch{self.current_epoch}_iteration{self._iteration}.pth")
        step = {
            "epoch": self.current_epoch,
            "iteration": self._iteration,
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": None if self.grad_scaler is None else self.grad_scaler.state_dict(),
        }
        cause_and_file = save_step(path, batch, self._bare_network(), step)
        what, value = ("the norm of the gradient", norm) if math.isfinite(loss) else ("the loss", loss)
        return (
            f"training stopped because {what} became {value} in epoch {self.current_epoch + 1}, iteration "
            f"{self._iteration + 1}; {cause_and_file}; checkpoints of finished epochs are kept"
        )

    def _first_process(self, here: bool) -> int | None:
        """The lowest rank of the processes in which something is so, or ``None``."""
        if not self.is_ddp:
            return self.local_rank if here else None
        count = distributed.get_world_size()
        first = torch.tensor(self.local_rank if here else count, device=self.device)
        distributed.all_reduce(first, distributed.ReduceOp.MIN)
        return None if first.item() == count else int(first.item())

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self.device.type == "cuda":
            result = super().validation_step(batch)
        else:  # where nnU-Net's has no autocast, and with a GPU's the loss in half precision
            hook = self.network.register_forward_hook(lambda module, inputs, output: _in_float32(output))
            with self._autocast():
                result = super().validation_step(batch)
            hook.remove()
        for observer in self.observers:
            observer.iteration_done(None)
        return result

    def on_epoch_end(self) -> None:
        """Log the epoch and write its checkpoint.

        Replaces nnU-Net's, which saves the latest checkpoint before it updates the best score in it, writes
        the best one a second time, and draws its progress figure even where observers are told of the progress.
        """
        log = self.logger
        log.log("epoch_end_timestamps", time(), self.current_epoch)
        train_loss, validation_loss = (float(log.get_value(key, step=-1)) for key in ("train_losses", "val_losses"))
        dice = [float(value) for value in log.get_value("dice_per_class_or_region", step=-1)]
        seconds = log.get_value("epoch_end_timestamps", step=-1) - log.get_value("epoch_start_timestamps", step=-1)
        self.print_to_log_file(
            f"train loss {train_loss:.4f}, validation loss {validation_loss:.4f}, "
            f"pseudo Dice {[round(value, 4) for value in dice]}, {seconds:.1f} s"
        )
        smoothed = log.get_value("ema_fg_dice", step=-1)
        is_best = self._best_ema is None or smoothed > self._best_ema
        if is_best:
            self._best_ema = smoothed
        last = self.current_epoch == self.num_epochs - 1
        names = ["best"] if is_best else []
        if self.current_epoch == self.checkpoint_epoch and not last:
            names.append(f"epoch_{self.current_epoch}")
        if not last and (names or (self.current_epoch + 1) % self.save_every == 0):
            # After the others: a training that is resumed from it does not make them again.
            names.append("latest")
        self._save_checkpoint_as([join(self.output_folder, f"checkpoint_{name}.pth") for name in names])
        if not self.observers and self.local_rank == 0:
            log.plot_progress_png(self.output_folder)
        for observer in self.observers:
            observer.epoch_done(self.current_epoch, train_loss, validation_loss, float(np.nanmean(dice)))
        self.current_epoch += 1

    def on_train_end(self) -> None:
        super().on_train_end()
        if self.local_rank == 0 and self.observers:
            # No epoch has drawn it, and nnU-Net wants it in a model that it exports.
            self.logger.plot_progress_png(self.output_folder)

    def _save_checkpoint_as(self, filenames: Sequence[str]) -> None:
        """Write one checkpoint under several names, in their order."""
        if filenames:
            self.save_checkpoint(filenames[0])
        if self.local_rank == 0 and not self.disable_checkpointing:
            for filename in filenames[1:]:
                link_atomically(filenames[0], filename)

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
            "init_args": {name: value for name, value in self.my_init_kwargs.items() if name != "device"},
            "trainer_name": self.__class__.__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
            "amp": self.amp,
        }
        write_checkpoint(filename, checkpoint)

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """Go on after a checkpoint of this class or of nnU-Net's; reading it runs no code from the file.

        Raises
        ------
        UserError
            The file is damaged or of something else; the message says what is left.
        """
        if not self.was_initialized:
            self.initialize()
        if isinstance(filename_or_checkpoint, dict):
            self._load_state(filename_or_checkpoint)
            return
        path = Path(filename_or_checkpoint)
        try:
            state = read_state(path)
            check_written_by(path, state, type(self).__name__, self.plans_manager.dataset_name, self.fold)
            try:
                self._load_state(state)
            # PyTorch's and nnU-Net's own: whatever a state of another network or optimizer runs into.
            except Exception as error:
                reason = one_line(str(error), 120)
                raise CheckpointError(f"{path} does not fit this training: {type(error).__name__}: {reason}") from error
        except CheckpointError as error:
            raise UserError(explain_damaged(path, error)) from error

    def _load_state(self, checkpoint: dict[str, Any]) -> None:
        groups = [dict(group) for group in self.optimizer.param_groups]
        self._bare_network().load_state_dict(checkpoint["network_weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        check_optimizer(self.optimizer, groups)
        if self.grad_scaler is not None and checkpoint["grad_scaler_state"] is not None:
            self.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
        self.logger.load_checkpoint(checkpoint["logging"])
        self._best_ema = checkpoint["_best_ema"]
        self.current_epoch = checkpoint["current_epoch"]
        self.inference_allowed_mirroring_axes = checkpoint["inference_allowed_mirroring_axes"]

    def _bare_network(self) -> SegmentationNetwork:
        """The network without the wrappers of DDP and torch.compile."""
        network = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        return cast("SegmentationNetwork", network._orig_mod if isinstance(network, OptimizedModule) else network)

    def _to_device(self, batch: dict[str, Any]) -> tuple[torch.Tensor, list[torch.Tensor] | torch.Tensor]:
        data = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"]
        if isinstance(target, list):
            return data, [scale.to(self.device, non_blocking=True) for scale in target]
        return data, target.to(self.device, non_blocking=True)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._amp_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self._amp_dtype)

    def _seed_generators(self, epoch: int) -> None:
        if self.seed is None:
            return
        words = np.random.SeedSequence([self.seed, epoch, self.local_rank]).generate_state(2)
        random.seed(int(words[0]))
        np.random.seed(int(words[0]))  # noqa: NPY002 - the generator that nnU-Net's data loader draws from
        torch.manual_seed(int(words[1]))


def _in_float32(output: torch.Tensor | list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    return [scale.float() for scale in output] if isinstance(output, list | tuple) else output.float()
