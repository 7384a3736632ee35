"""What the operators' Python side shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .torch_private import disable_dynamo, forward_mode_active, get_unwrapped, is_batchedtensor, transforms_active

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
    Below a transform of torch.func a tensor does not show whether one further out differentiates it.
    """
    if torch.compiler.is_exporting():
        return False
    if _is_transformed():
        return True
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def differentiable(
    name: str, backward: Callable[..., Any], setup_context: Callable[..., None] | None = None
) -> Callable[..., Any]:
    """Give an operator its gradient; the function returned calls it so that torch.func's transforms know it too.

    A gradient that is registered with ``torch.library`` is unknown to ``torch.func`` (torch 2.13 asks for a
    ``setup_context`` that cannot be given there), so below its transforms the same formulas go through a
    ``torch.autograd.Function``.

    Parameters
    ----------
    name
        In ``torch.ops.swin_umamba``.
    backward, setup_context
        As `torch.library.register_autograd` takes them.
    """
    operator = getattr(torch.ops.swin_umamba, name).default
    torch.library.register_autograd(f"swin_umamba::{name}", backward, setup_context=setup_context)
    transformed: Any = type(
        name,
        (torch.autograd.Function,),
        {
            "generate_vmap_rule": True,
            "forward": staticmethod(lambda *arguments: operator(*arguments)),
            "setup_context": staticmethod(setup_context or (lambda ctx, inputs, output: None)),
            "backward": staticmethod(backward),
            "jvp": staticmethod(lambda ctx, *tangents: _refuse_forward_mode(name)),
        },
    )
    return lambda *arguments: (transformed.apply if _is_transformed() else operator)(*arguments)


def _is_transformed() -> bool:
    """Whether a transform of torch.func (grad, vmap and what is made of them) is at work; compiled code has none."""
    return not torch.compiler.is_compiling() and transforms_active()


def nothing_saved(operator: str) -> RuntimeError:
    """The error of differentiating a call that had ``save_states=False``."""
    return RuntimeError(
        f"{operator} did not save what its gradient needs: gradients through graphs of torch.export are not supported, "
        f"call swin_umamba_ext.{operator} instead; a direct call of torch.ops.swin_umamba.{operator} needs "
        f"save_states=True"
    )


def forbid_forward_mode(operator: str, *tensors: Tensor | None) -> None:
    """Make forward-mode differentiation an error: the kernels would lose the tangents, which torch takes for zero."""
    if not forward_mode_active():
        return
    # no tangents can be seen while torch.compile traces
    if torch.compiler.is_compiling() or any(t is not None and _has_tangent(t) for t in tensors):
        _refuse_forward_mode(operator)


def _refuse_forward_mode(operator: str) -> NoReturn:
    operator = operator.removesuffix("_backward")
    raise NotImplementedError(
        f"forward-mode derivatives (jvp, jacfwd) of {operator} are not implemented; use reverse mode (backward), "
        f"or swin_umamba_ext.reference.{operator}, which has both"
    )


@disable_dynamo  # which sees no tangents
def _has_tangent(tensor: Tensor) -> bool:
    while is_batchedtensor(tensor):  # of vmap, under which unpack_dual does not work
        tensor = get_unwrapped(tensor)
    return forward_ad.unpack_dual(tensor).tangent is not None


def backward_operator(operator: str) -> Callable[..., Any]:
    """What calls an operator's backward operator; to differentiate that is an error instead of a wrong gradient."""

    def backward(ctx: Any, *grads: Tensor | None) -> NoReturn:
        raise NotImplementedError(
            f"second derivatives of {operator} are not implemented; those of swin_umamba_ext.reference.{operator} are"
        )

    return differentiable(f"{operator}_backward", backward)
