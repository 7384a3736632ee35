"""Optimizer, learning rate and moving average of the weights, as VMamba and Swin Transformer are trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..trainers.schedule import cosine_learning_rate

GRADIENT_NORM_LIMIT = 5.0
# Of the highest learning rate: at the first step of the warm-up, and at the end of the cosine.
FIRST_FRACTION, FINAL_FRACTION = 1e-3, 1e-2


def make_optimizer(network: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW without weight decay of norms, biases, ``A_logs`` and ``Ds``."""
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        groups[parameter.ndim > 1 and not name.endswith(("bias", "A_logs"))].append(parameter)
    return torch.optim.AdamW(
        [{"params": groups[True], "weight_decay": weight_decay}, {"params": groups[False], "weight_decay": 0.0}],
        lr=learning_rate,
    )


def learning_rate_at(step: int, steps: int, warmup_steps: int, highest: float) -> float:
    """Learning rate of one step, counted from 0: a linear warm-up, then a cosine."""
    if step < warmup_steps:
        return highest * (FIRST_FRACTION + (1 - FIRST_FRACTION) * step / warmup_steps)
    return cosine_learning_rate(step - warmup_steps, steps - warmup_steps, highest, FINAL_FRACTION * highest)


def average_weights(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of the network that follows its weights as an exponential moving average.

    The decay starts low, ``min(decay, (1 + n) / (10 + n))`` at the n-th update, since the initial weights
    would otherwise stay in the average of a short training.
    """

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        n = int(updates)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        for mean, value in zip(averaged, current, strict=True):
            mean.lerp_(value, weight)

    return AveragedModel(network, multi_avg_fn=average)
