"""A linear layer for the pixels of a channels-last map, in float32 as fast as the processor allows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

from swin_umamba_ext.ops.torch_private import forward_mode_active

from ..common.processors import has_slow_float32_products

FEWEST_PIXELS = 64
"""Of an image; with fewer, the gradient of the weight by a convolution takes longer."""

_ONEDNN_PRODUCT: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""The operator that torch.compile makes of a linear layer; ``None`` if this version of PyTorch has none."""

if _ONEDNN_PRODUCT is not None and _ONEDNN_PRODUCT not in flop_registry:

    @register_flop_formula(_ONEDNN_PRODUCT)
    def _(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * prod(x) * weight[0]


class PixelLinear(nn.Linear):
    """``torch.nn.Linear`` of every pixel, by oneDNN where PyTorch has no fast matrix product of float32.

    PyTorch offers that product without gradients alone, and only to its own compiler; with gradients the layer is a
    1x1 convolution. The parameters are those of ``torch.nn.Linear``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features), best of shape (B, H, W, in_features)."""
        if not self._is_slow(x):
            return super().forward(x)
        # The product has no derivatives, and would lose those of the forward mode, which goes on without gradients.
        if _ONEDNN_PRODUCT is not None and not torch.is_grad_enabled() and not forward_mode_active():
            y: Tensor = _ONEDNN_PRODUCT(x, self.weight, self.bias, "none", [], "")
            return y
        return F.conv2d(x.permute(0, 3, 1, 2), self.weight[:, :, None, None], self.bias).permute(0, 2, 3, 1)

    def _is_slow(self, x: Tensor) -> bool:
        # Compilers and exporters are shown the layer that it is.
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
