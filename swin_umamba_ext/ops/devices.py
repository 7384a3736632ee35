"""Which devices have kernels; the others take the plain torch operations."""

from __future__ import annotations

import warnings

import torch

from ..library import CUDA_LIBRARY

WITH_KERNELS = ("cpu", "cuda", "meta")
MINIMUM_CAPABILITY = (8, 0)

# What keeps the kernels from a device that was asked about, or None.
_obstacles: dict[torch.device, str | None] = {}


def lacks_kernels(device: torch.device) -> bool:
    """Whether a device has no kernels; says so, in one line, when it is first asked about.

    While torch.compile traces, a GPU that no call has used before is taken to have them.
    """
    if device not in _obstacles:
        if torch.compiler.is_compiling():
            return device.type not in WITH_KERNELS or (device.type == "cuda" and CUDA_LIBRARY is None)
        _obstacles[device] = obstacle = _obstacle(device)
        if obstacle is not None:
            warnings.warn(f"swin_umamba_ext on {device}: {obstacle}; plain torch operations are used", stacklevel=3)
    return _obstacles[device] is not None


def _obstacle(device: torch.device) -> str | None:
    if device.type not in WITH_KERNELS:
        return f"there are no kernels for {device.type}"
    if device.type != "cuda":
        return None
    if CUDA_LIBRARY is None:
        return "this installation has no kernels for it"
    return too_old(device) if torch.cuda.is_available() else None  # else it is a device of fake tensors


def too_old(device: torch.device) -> str | None:
    """What a GPU lacks for the kernels, if it does: they use TF32 on tensor cores."""
    capability = torch.cuda.get_device_capability(device)
    if capability >= MINIMUM_CAPABILITY:
        return None
    needed, there = (".".join(map(str, version)) for version in (MINIMUM_CAPABILITY, capability))
    return f"the CUDA kernels need compute capability {needed}, this GPU has {there}"
