"""The SS2D layer of VMamba: what a VSS block has in the place of self-attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import swin_umamba_ext

from .initialization import inverse_softplus_of_log_uniform
from .pixel_linear import PixelLinear

N_DIRECTIONS = 4


class SS2D(nn.Module):
    """2-D selective scan between a gated input and an output projection.

    ``out_proj(out_norm(ss2d(silu(conv2d(x)))) * silu(z))`` with ``x, z = in_proj(input)``
    (VMamba, arXiv:2401.10166; Swin-UMamba, Eqs. 1-3). Everything stays in channels-last memory:
    the image is never transposed nor copied into scan order.

    Parameters
    ----------
    dim : int
        Number of channels C of the input and of the output.
    d_state : int
        Number of states N per channel.
    expand : int
        The scan works on D = expand * C channels.

    Notes
    -----
    ``A_logs`` starts at log(1..N), the S4D-real initialisation, ``Ds`` at one, the step sizes
    log-uniform in [0.001, 0.1] (Mamba, arXiv:2312.00752, section 3.6), and the projections
    ``x_proj_weight`` and ``dt_projs_weight`` uniform in ±1/sqrt(fan-in).
    """

    def __init__(self, dim: int, d_state: int = 16, expand: int = 2) -> None:
        super().__init__()
        d_inner = expand * dim
        dt_rank = math.ceil(dim / 16)
        self.in_proj = PixelLinear(dim, 2 * d_inner, bias=False)
        self.conv2d = nn.Conv2d(d_inner, d_inner, kernel_size=3, padding=1, groups=d_inner)
        self.x_proj_weight = nn.Parameter(torch.empty(N_DIRECTIONS, dt_rank + 2 * d_state, d_inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(N_DIRECTIONS, d_inner, dt_rank))
        self.dt_projs_bias = nn.Parameter(inverse_softplus_of_log_uniform((N_DIRECTIONS, d_inner)))
        self.A_logs = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(N_DIRECTIONS * d_inner, 1))
        self.Ds = nn.Parameter(torch.ones(N_DIRECTIONS * d_inner))
        self.out_norm = nn.LayerNorm(d_inner)
        self.out_proj = PixelLinear(d_inner, dim, bias=False)
        nn.init.uniform_(self.x_proj_weight, -(d_inner**-0.5), d_inner**-0.5)
        nn.init.uniform_(self.dt_projs_weight, -(dt_rank**-0.5), dt_rank**-0.5)
        self.has_scan = True

    def remove_scan(self) -> None:
        """Put the identity in the place of the scan, and remove the parameters that are the scan's alone."""
        self.has_scan = False
        for name in ("x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds"):
            delattr(self, name)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x, z = self.in_proj(x).chunk(2, dim=-1)
        assert self.conv2d.bias is not None
        y = x = swin_umamba_ext.depthwise_conv_silu(x, self.conv2d.weight, self.conv2d.bias)
        if self.has_scan:
            y = swin_umamba_ext.ss2d(
                x, self.x_proj_weight, self.dt_projs_weight, self.dt_projs_bias, self.A_logs, self.Ds
            )
        norm = self.out_norm
        return self.out_proj(swin_umamba_ext.gated_layer_norm(y, z, norm.weight, norm.bias, norm.eps))
