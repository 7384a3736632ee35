"""The 1-D Mamba block, as U-Mamba uses it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import swin_umamba_ext

from .initialization import inverse_softplus_of_log_uniform


class Mamba(nn.Module):
    """Selective scan of a sequence between a gated input and an output projection.

    ``out_proj(scan(silu(conv1d(x))) * silu(z))`` with ``x, z = in_proj(input)`` and a causal depthwise
    convolution (Mamba, arXiv:2312.00752, section 3.4). Names and shapes of the parameters are those of the
    package mamba-ssm.

    Parameters
    ----------
    dim : int
        Number of channels C of the input and of the output.
    d_state : int
        Number of states N per channel.
    d_conv : int
        Length of the convolution.
    expand : int
        The scan works on D = expand * C channels.
    """

    def __init__(self, dim: int, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        d_inner = expand * dim
        dt_rank = math.ceil(dim / 16)
        self.d_state = d_state
        self.in_proj = nn.Linear(dim, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(d_inner, dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, dim, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(dt_rank**-0.5), dt_rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(inverse_softplus_of_log_uniform((d_inner,)))
        self.has_scan = True

    def remove_scan(self) -> None:
        """Put the identity in the place of the scan, and remove the parameters that are the scan's alone."""
        self.has_scan = False
        for name in ("x_proj", "dt_proj", "A_log", "D"):
            delattr(self, name)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, C) to (B, L, C)."""
        length = x.shape[1]
        # One product with the weight on the left gives (B, 2D, L), the layout of the convolution and of the scan.
        x, z = (self.in_proj.weight @ x.transpose(1, 2)).chunk(2, dim=1)
        x = F.silu(self.conv1d(x)[..., :length])
        if not self.has_scan:
            return self.out_proj((x * F.silu(z)).transpose(1, 2))
        projected = self.x_proj.weight @ x
        dt, B, C = projected.split([self.dt_proj.in_features, self.d_state, self.d_state], dim=1)
        y = swin_umamba_ext.selective_scan(
            x,
            self.dt_proj.weight @ dt,
            -torch.exp(self.A_log),
            B,
            C,
            self.D,
            z=z,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
        )
        assert isinstance(y, Tensor)  # as no last state was asked for
        return self.out_proj(y.transpose(1, 2))
