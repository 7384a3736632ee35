"""What the operators' Python side shares."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

# kChunk (steps between two saved states) of csrc/kernels/cpu/tuning.h and csrc/kernels/cuda/kernels.h, and kRescanned.
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
    """Whether to save what the gradient needs.

    An exported graph is for inference: how much is saved is a matter of the image's size, which may be unknown then.
    """
    if torch.compiler.is_exporting():
        return False
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def nothing_saved(operator: str) -> RuntimeError:
    """The error of differentiating a call that had ``save_states=False``."""
    return RuntimeError(
        f"{operator} did not save what its gradient needs: gradients through torch.vmap and through graphs of "
        f"torch.export are not supported, call swin_umamba_ext.{operator} on the whole batch instead; a direct call of "
        f"torch.ops.swin_umamba.{operator} needs save_states=True"
    )


def forbid_forward_mode(operator: str, *tensors: Tensor | None) -> None:
    """Make forward-mode differentiation an error: the kernels would lose the tangents, which torch takes for zero."""
    if forward_ad._current_level < 0:
        return
    # no tangents can be seen while torch.compile traces
    if torch.compiler.is_compiling() or any(t is not None and _has_tangent(t) for t in tensors):
        raise NotImplementedError(
            f"forward-mode derivatives (jvp, jacfwd) of {operator} are not implemented; use reverse mode (backward), "
            f"or swin_umamba_ext.reference.{operator}, which has both"
        )


@torch._disable_dynamo  # which sees no tangents; unlike torch.compiler.disable it is not imported before it is needed
def _has_tangent(tensor: Tensor) -> bool:
    while torch._C._functorch.is_batchedtensor(tensor):  # of vmap, under which unpack_dual does not work
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return forward_ad.unpack_dual(tensor).tangent is not None


def forbid_double_backward(operator: str) -> None:
    """Make differentiating a backward operator an error instead of a wrong gradient."""

    def backward(ctx, *grads):
        raise NotImplementedError(
            f"second derivatives of {operator} are not implemented; those of swin_umamba_ext.reference.{operator} are"
        )

    torch.library.register_autograd(f"swin_umamba::{operator}_backward", backward)
