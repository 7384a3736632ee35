"""The learning rate of the paper: a cosine over the epochs."""

from __future__ import annotations

import math

from torch.optim import Optimizer

FINAL_LEARNING_RATE = 1e-6


def cosine_learning_rate(epoch: int, epochs: int, initial: float, final: float = FINAL_LEARNING_RATE) -> float:
    """Learning rate of one epoch, counted from 0.

    ``final + (initial - final) (1 + cos(π epoch / epochs)) / 2`` [Loshchilov & Hutter 2017, SGDR, without
    restarts], so epoch 0 has ``initial`` and ``final`` is the limit after the last epoch.
    """
    return final + (initial - final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


class CosineEpochSchedule:
    """Sets the learning rate of an optimizer for the epoch it is told.

    It has no state but the epoch number, so a resumed run has the rates of one that was never stopped.

    Parameters
    ----------
    optimizer
        All its parameter groups get the same rate.
    epochs
        Length of the cosine.
    initial, final
        Its ends; see `cosine_learning_rate`.
    """

    def __init__(self, optimizer: Optimizer, epochs: int, initial: float, final: float = FINAL_LEARNING_RATE) -> None:
        self.optimizer = optimizer
        self.epochs = epochs
        self.initial = initial
        self.final = final

    def step(self, epoch: int) -> None:
        """Set the rate of ``epoch``; nnU-Net calls this at its start."""
        rate = cosine_learning_rate(epoch, self.epochs, self.initial, self.final)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
