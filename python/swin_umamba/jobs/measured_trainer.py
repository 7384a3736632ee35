"""Trainers that measure themselves; nnU-Net must know its folders before this module is imported."""

from __future__ import annotations

import gc
import statistics
import time
from pathlib import Path

import torch

from ..comparison.measurements import Epoch, Measurements, peak_memory, reset_peak_memory
from ..complexity import count_complexity
from ..trainers.paper_trainer import PaperTrainer
from ..trainers.registry import TRAINER_CLASSES


class MeasuredTrainer(PaperTrainer):
    """Adds measurements to a trainer that is named after it among the base classes.

    Attributes
    ----------
    run : pathlib.Path
        The run folder, to which the measurements are written after every epoch.
    """

    run: Path

    def on_train_start(self) -> None:
        super().on_train_start()
        self._step_seconds: list[float] = []
        self._measurements = Measurements.read(self.run)
        if self._measurements.multiply_accumulates is None:
            self._count_operations()
        gc.collect()
        reset_peak_memory(self.device)

    def _count_operations(self) -> None:
        plan = self.configuration_manager
        # A network of its own: counting must leave no trace in the one that is trained.
        with torch.random.fork_rng(devices=[]):
            network = self.build_network_architecture(
                self.plans_manager,
                plan,
                self.num_input_channels,
                self.label_manager.num_segmentation_heads,
                self.enable_deep_supervision,
            )
            count = count_complexity(network, self.num_input_channels, tuple(plan.patch_size))
        self._measurements.parameters = count.parameters
        self._measurements.multiply_accumulates = count.multiply_accumulates
        self._measurements.scan = count.scan
        self._measurements.write(self.run)

    def train_step(self, batch: dict) -> dict:
        start = self._now()
        result = super().train_step(batch)
        self._step_seconds.append(self._now() - start)
        return result

    def on_epoch_end(self) -> None:
        epoch = self.current_epoch
        super().on_epoch_end()
        self._measurements.epochs[epoch] = Epoch(statistics.median(self._step_seconds), peak_memory(self.device))
        self._measurements.write(self.run)
        self._step_seconds.clear()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def measure_trainers(run: Path) -> None:
    """Let every trainer of this process measure itself and write to a run folder."""
    for name, trainer in TRAINER_CLASSES.items():
        TRAINER_CLASSES[name] = type(name, (MeasuredTrainer, trainer), {"run": run, "__doc__": trainer.__doc__})
