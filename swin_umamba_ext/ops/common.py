"""What the operators' Python side shares."""

from __future__ import annotations

import torch
from torch import Tensor

# kChunk, kCudaChunk (steps between two saved states) and kRescanned of csrc/kernels/problem.h.
CHUNK = 16
CUDA_CHUNK = 64
RESCANNED = 128


def saved_states(length: int, device: torch.device) -> int:
    return (length - 1) // (CUDA_CHUNK if device.type == "cuda" else CHUNK)


def ss2d_saved_states(length: int, device: torch.device) -> int:
    return 0 if device.type == "cpu" and length <= RESCANNED else saved_states(length, device)


def compute_dtype(data: torch.dtype) -> torch.dtype:
    """The dtype of states, sums and parameters for data of this dtype."""
    return torch.float64 if data == torch.float64 else torch.float32


def needs_grad(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def forbid_double_backward(operator: str) -> None:
    """Make differentiating a backward operator an error instead of a wrong gradient."""

    def backward(ctx, *grads):
        raise NotImplementedError(
            f"second derivatives of {operator} are not implemented; those of swin_umamba_ext.reference.{operator} are"
        )

    torch.library.register_autograd(f"swin_umamba::{operator}_backward", backward)
