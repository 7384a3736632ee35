"""Training of the classifier, epoch by epoch."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Sampler

from ..checkpoints import CheckpointError
from ..checkpoints.plain_data import read_entries
from ..common.errors import RunError, UserError
from ..common.processes import Processes
from ..common.text import one_line, short_name
from ..networks import VMambaTiny
from ..trainers.precision import autocast_dtype, precision_name
from ..trainers.saved_state import check_optimizer
from .augmentation import MixImages, training_transform, validation_transform
from .dataset import LabelledImages, TrainingBatches, ValidationBatches, collate
from .image_folder import ImageFolder
from .optimization import GRADIENT_NORM_LIMIT, average_weights, learning_rate_at, make_optimizer
from .settings import PretrainingSettings

_SAVED = {"network": dict, "averaged": dict, "optimizer": dict, "history": list, "images": dict}
_SHOWN = {"epoch", "train_loss", "validation_loss", "accuracy", "accuracy_ema"}


class Pretraining:
    """The classifier with all that its training needs, and the state to go on with after an interruption.

    Parameters
    ----------
    settings : PretrainingSettings
    images : ImageFolder
    processes : Processes
        This process and the others that train with it.
    device : torch.device
        Where to compute.
    workers : int
        Processes that read and augment images for this one; 0 reads them in this process. The results are the same.
    """

    def __init__(
        self,
        settings: PretrainingSettings,
        images: ImageFolder,
        processes: Processes,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        self.settings = settings
        self.images = images
        self.processes = processes
        self.device = device
        dtype = autocast_dtype(settings.amp, device)
        # Without a gradient scaler, float16 would lose small gradients.
        self._amp_dtype = None if dtype is torch.float16 else dtype
        torch.manual_seed(settings.seed)
        self.network = VMambaTiny(
            len(images.classes),
            embed_dim=settings.embed_dim,
            depths=settings.depths,
            drop_path_rate=settings.drop_path,
        ).to(self.device)
        # `PretrainingSettings.completed` has made them numbers.
        assert settings.learning_rate is not None
        assert settings.warmup_epochs is not None
        self._learning_rate, self._warmup_epochs = settings.learning_rate, settings.warmup_epochs
        self.optimizer = make_optimizer(self.network, self._learning_rate, settings.weight_decay)
        self.averaged = average_weights(self.network, settings.ema_decay)
        self.mix = MixImages(len(images.classes)) if settings.mixing else None
        self.batches = TrainingBatches(
            len(images.training), settings.batch_size, settings.seed, processes.rank, processes.world_size
        )
        train_transform = training_transform(settings.augmentation, settings.image_size)
        self.training_loader = self._loader(images.training, train_transform, self.batches, workers)
        self.validation_loader = self._loader(
            images.validation,
            validation_transform(settings.image_size),
            ValidationBatches(len(images.validation), settings.batch_size, processes.rank, processes.world_size),
            workers,
        )
        self.history: list[dict[str, Any]] = []

    @property
    def precision(self) -> str:
        """The type that the network computes in, ``"bfloat16"`` for instance."""
        return precision_name(self._amp_dtype)

    @property
    def finished_epochs(self) -> int:
        return len(self.history)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.batches)

    def state(self) -> dict[str, Any]:
        """Everything that a run needs to go on after its last finished epoch, as tensors and plain values.

        The random generators are not among it: each epoch seeds them anew.
        """
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "images": self._image_facts(),
        }

    def load_state(self, path: Path) -> None:
        """Go on from a saved state; raise `CheckpointError` if it is not one, and `UserError` if of other images."""
        state = read_entries(path, _SAVED)
        if state["images"] != self._image_facts():
            raise UserError(
                f"the run to resume was trained on other images ({short_name(str(state['images']))}, now there are "
                f"{self._image_facts()}); start a new run with another --output"
            )
        groups = [dict(group) for group in self.optimizer.param_groups]
        try:
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            check_optimizer(self.optimizer, groups)
            if not all(isinstance(entry, dict) and entry.keys() >= _SHOWN for entry in state["history"]):
                raise ValueError("its history is no list of epochs")
            self.history = state["history"]
        # Whatever PyTorch runs into in the state of another network or optimizer.
        except Exception as error:
            reason = one_line(str(error), 120)
            raise CheckpointError(f"{path} does not fit this run: {type(error).__name__}: {reason}") from error

    def train_epochs(self, on_step: Callable[[float], object], on_epoch: Callable[[], object]) -> None:
        """Train the epochs that are left.

        Parameters
        ----------
        on_step
            Called after each step with its loss.
        on_epoch
            Called after each epoch, when its entry is in ``history``.

        Raises
        ------
        RunError
            An image cannot be read, or the loss is no longer finite.
        """
        network: nn.Module = self.network
        if self.processes.world_size > 1:
            network = DistributedDataParallel(network, [self.device.index] if self.device.type == "cuda" else None)
        for epoch in range(self.finished_epochs, self.settings.epochs):
            start = time.monotonic()
            self._seed(epoch)
            train_loss, rate = self._train_epoch(network, epoch, on_step)
            loss, accuracy = self._validate(self.network)
            _, averaged_accuracy = self._validate(self.averaged)
            self.history.append(
                {
                    "epoch": epoch + 1,
                    "learning_rate": rate,
                    "train_loss": train_loss,
                    "validation_loss": loss,
                    "accuracy": accuracy,
                    "accuracy_ema": averaged_accuracy,
                    "seconds": time.monotonic() - start,
                }
            )
            on_epoch()

    def _train_epoch(self, network: nn.Module, epoch: int, on_step: Callable[[float], object]) -> tuple[float, float]:
        settings, steps = self.settings, self.steps_per_epoch
        warmup_steps = round(self._warmup_epochs * steps)
        network.train()
        self.batches.epoch = epoch
        losses = []
        for step, batch in enumerate(self.training_loader, epoch * steps):
            images, labels = self._to_device(batch)
            targets = labels
            if self.mix is not None:
                images, targets = self.mix(images, labels)
            rate = learning_rate_at(step, settings.epochs * steps, warmup_steps, self._learning_rate)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.zero_grad(set_to_none=True)
            with self._autocast():
                logits = network(images)
            loss = F.cross_entropy(logits.float(), targets, label_smoothing=settings.label_smoothing)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM_LIMIT)
            # The mean over the processes, so that all of them stop where one has to.
            value = float(self._sum(loss.detach().clone())) / self.processes.world_size
            if not math.isfinite(value) or not math.isfinite(norm.item()):
                raise RunError(
                    f"training stopped because the loss became {value} (norm of the gradient {norm.item()}) in epoch "
                    f"{epoch + 1}; the checkpoint of the epoch before is kept. Start a new run with a lower "
                    f"--learning-rate"
                )
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
            losses.append(value)
            on_step(value)
        return float(np.mean(losses)), rate

    @torch.no_grad()
    def _validate(self, network: nn.Module) -> tuple[float, float]:
        """Mean cross-entropy and part of the images classified correctly."""
        network.eval()
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for batch in self.validation_loader:
            images, labels = self._to_device(batch)
            with self._autocast():
                logits = network(images)
            loss = F.cross_entropy(logits.float(), labels, reduction="sum")
            correct = (logits.argmax(1) == labels).sum()
            sums += torch.stack([loss.double(), correct.double(), loss.new_tensor(len(labels)).double()])
        loss, correct, count = self._sum(sums).tolist()
        return loss / count, correct / count

    def _sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over the processes, in place."""
        if self.processes.world_size > 1:
            dist.all_reduce(values)
        return values

    def _loader(
        self,
        samples: tuple[Any, ...],
        transform: Callable[[Tensor], Tensor],
        batches: Sampler[Any],
        workers: int,
    ) -> DataLoader[Any]:
        return DataLoader(
            LabelledImages(samples, transform, self.settings.seed),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=self.device.type == "cuda",
            persistent_workers=workers > 0,
            # Else it draws from the generator of stochastic depth and mixing, more or less often by its workers.
            generator=torch.Generator(),
        )

    def _to_device(self, batch: tuple[Tensor, Tensor] | UserError) -> tuple[Tensor, Tensor]:
        if isinstance(batch, UserError):
            raise RunError(f"{batch}; repair or replace the file, and go on with --resume")
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        return images.contiguous(memory_format=torch.channels_last), labels

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._amp_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._amp_dtype)

    def _seed(self, epoch: int) -> None:
        words = np.random.SeedSequence([self.settings.seed, epoch, self.processes.rank]).generate_state(1)
        torch.manual_seed(int(words[0]))

    def _image_facts(self) -> dict[str, Any]:
        images = self.images
        return {
            "classes": list(images.classes),
            "training": len(images.training),
            "validation": len(images.validation),
        }
