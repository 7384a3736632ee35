"""Measures a training while it goes."""

from __future__ import annotations

import gc
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..trainers.observer import Observer
from .energy import EnergyMeter
from .measurements import Epoch, Measurements, peak_memory, reset_peak_memory

if TYPE_CHECKING:
    from ..trainers.paper_trainer import PaperTrainer


class Measuring(Observer):
    """Writes the measurements of a training to its run folder after every epoch, beside those of former processes.

    Of all observers of a training it is the first, so that no other's work counts as a part of a step.

    Parameters
    ----------
    run
        The run folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._step_seconds: list[float] = []

    def training_begins(self, trainer: PaperTrainer) -> None:
        self._device = trainer.device
        self._measurements = Measurements.read(self.run)
        if self._measurements.multiply_accumulates is None:
            self._count_operations(trainer)
        gc.collect()
        reset_peak_memory(self._device)
        self._energy = EnergyMeter(self._device)

    def _count_operations(self, trainer: PaperTrainer) -> None:
        import torch

        from ..complexity import count_complexity

        plan = trainer.configuration_manager
        # A network of its own: counting must leave no trace in the one that is trained.
        with torch.random.fork_rng(devices=[]):
            network = trainer.build_network_architecture(
                trainer.plans_manager,
                plan,
                trainer.num_input_channels,
                trainer.label_manager.num_segmentation_heads,
                trainer.enable_deep_supervision,
            )
            count = count_complexity(network, trainer.num_input_channels, tuple(plan.patch_size))
        self._measurements.parameters = count.parameters
        self._measurements.multiply_accumulates = count.multiply_accumulates
        self._measurements.scan = count.scan
        self._measurements.write(self.run)

    def step_begins(self) -> None:
        self._step_start = self._now()

    def iteration_done(self, loss: float | None) -> None:
        if loss is not None:
            self._step_seconds.append(self._now() - self._step_start)

    def epoch_done(self, epoch: int, train_loss: float, validation_loss: float, dice: float) -> None:
        self._measurements.epochs[epoch] = Epoch(
            statistics.median(self._step_seconds), peak_memory(self._device), self._energy.joules()
        )
        self._measurements.write(self.run)
        self._step_seconds.clear()

    def _now(self) -> float:
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)
        return time.perf_counter()
