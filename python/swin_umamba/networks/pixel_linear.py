"""A linear layer for the pixels of a channels-last map, in float32 as fast as the processor allows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.processors import has_slow_float32_products

FEWEST_PIXELS = 64
"""Of an image; with fewer, the gradient of the weight by a convolution takes longer."""


class PixelLinear(nn.Linear):
    """``torch.nn.Linear`` of every pixel, as a 1x1 convolution where PyTorch has no fast matrix product of float32.

    The parameters are those of ``torch.nn.Linear``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features), best of shape (B, H, W, in_features)."""
        if not self._is_convolution(x):
            return super().forward(x)
        return F.conv2d(x.permute(0, 3, 1, 2), self.weight[:, :, None, None], self.bias).permute(0, 2, 3, 1)

    def _is_convolution(self, x: Tensor) -> bool:
        # Compilers, exporters and counters of operations are shown the layer that it is.
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        return (
            x.dim() == 4
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            # By the image and not the batch, whose size is not to show in the numbers.
            and x.shape[1] * x.shape[2] >= FEWEST_PIXELS
            and has_slow_float32_products()
        )
