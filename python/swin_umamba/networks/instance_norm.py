"""Instance normalisation that is fast, and right, in channels-last memory on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ELEMENTS_PER_THREAD = 2**16


class _NormalizePlanes(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps)`` of every plane of a (B, C, H, W) tensor, in float32 or float64.

    Written for few passes over memory: products are summed in bands of rows that stay in the cache.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        rstd = _mean_of_products(x, mean).add_(eps).rsqrt_()
        ctx.save_for_backward(x, mean, rstd)
        return torch.addcmul(-mean * rstd, x, rstd)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # With n = (x - mean) * rstd: dx = rstd * (g - mean(g) - n * mean(g * n)).
        x, mean, rstd = ctx.saved_tensors
        slope = -(rstd**3) * _mean_of_products(x, mean, grad)
        offset = -rstd * grad.mean((2, 3), keepdim=True) - slope * mean
        return torch.addcmul(offset, x, slope).addcmul_(grad, rstd), None


def _mean_of_products(x: Tensor, mean: Tensor, other: Tensor | None = None) -> Tensor:
    """Mean of ``(x - mean) * other`` over each plane; of the square where there is no other."""
    height, width = x.shape[2:]
    rows = max(1, ELEMENTS_PER_THREAD * torch.get_num_threads() * height // x.numel())
    total = torch.zeros_like(mean)
    for start in range(0, height, rows):
        products = x[:, :, start : start + rows] - mean
        products *= products if other is None else other[:, :, start : start + rows]
        total += products.sum((2, 3), keepdim=True)
    return total / (height * width)


def _normalize_planes(x: Tensor, eps: float) -> Tensor:
    # A compiler or an exporter makes few passes of these by itself, and neither takes the number of threads.
    if torch.compiler.is_compiling():
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + eps)
    return _NormalizePlanes.apply(x, eps)


class InstanceNorm2d(nn.InstanceNorm2d):
    """``torch.nn.InstanceNorm2d`` (arXiv:1607.08022) with its own implementation on the CPU.

    PyTorch's copies a channels-last map into planes first, and its backward reads a channels-last gradient
    of a single image in the wrong order (torch 2.13). On other devices, and in traces, it is PyTorch's.
    A plane of one pixel becomes its bias instead of an error on the CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        if x.device.type != "cpu" or torch.jit.is_tracing():
            return super().forward(x)
        y = _normalize_planes(x if x.dtype == torch.float64 else x.float(), self.eps)
        if self.affine:
            y = torch.addcmul(self.bias[:, None, None], y, self.weight[:, None, None])
        return y.to(x.dtype)


class PlanarInstanceNorm2d(nn.InstanceNorm2d):
    """``torch.nn.InstanceNorm2d`` for networks that work on contiguous planes: PyTorch's, with the right gradient.

    There it is faster than :class:`InstanceNorm2d`, but its backward on the CPU reads the gradient of a single
    image in the wrong order where that comes channels last (torch 2.13), for instance from Mamba.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        y = super().forward(x)
        if y.device.type == "cpu" and y.requires_grad:
            y.register_hook(Tensor.contiguous)
        return y


def replace_instance_norm(module: nn.Module, norm_class: type[nn.InstanceNorm2d] = InstanceNorm2d) -> nn.Module:
    """Put a ``norm_class`` in the place of every parameter-free ``nn.InstanceNorm2d`` inside ``module``."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.InstanceNorm2d:
                setattr(parent, name, norm_class(child.num_features, eps=child.eps))
    return module
