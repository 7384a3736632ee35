"""What the operators take of torch that it does not promise to keep, in one place and checked when it is imported."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

try:
    from torch import _disable_dynamo as disable_dynamo  # torch.compiler.disable imports all of torch.compile
    from torch._C import _are_functorch_transforms_active as transforms_active
    from torch._C._functorch import get_unwrapped, is_batchedtensor

    forward_ad._current_level  # noqa: B018 - read anew at each call
except (ImportError, AttributeError) as error:
    raise ImportError(
        f"swin_umamba_ext cannot work with torch {torch.__version__}: {error}; install a torch from 2.10 to 2.14"
    ) from error

__all__ = ["disable_dynamo", "forward_mode_active", "get_unwrapped", "is_batchedtensor", "transforms_active"]


def forward_mode_active() -> bool:
    """Whether forward-mode differentiation is at work."""
    return forward_ad._current_level >= 0
