"""Initial values of VMamba's layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def init_linear_and_norm(module: nn.Module) -> None:
    """Initialise a linear layer or LayerNorm as VMamba does; for ``nn.Module.apply``.

    Linear weights are drawn from a normal distribution of standard deviation 0.02, truncated at ±2, and
    their biases are zero; LayerNorm is the identity (VMamba, arXiv:2401.10166, which follows
    Swin Transformer, arXiv:2103.14030). All other modules are left as they are.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def inverse_softplus_of_log_uniform(
    shape: tuple[int, ...], low: float = 1e-3, high: float = 0.1, floor: float = 1e-4
) -> Tensor:
    """Draw biases whose softplus is log-uniform in [low, high].

    The initial step sizes of a selective scan (Mamba, arXiv:2312.00752, section 3.6).

    Parameters
    ----------
    shape : tuple of int
    low, high : float
        Range of the step size.
    floor : float
        Smallest step size.

    Returns
    -------
    Tensor of the given shape, float32
    """
    step = torch.exp(torch.empty(shape).uniform_(math.log(low), math.log(high))).clamp(min=floor)
    return step + torch.log(-torch.expm1(-step))
