"""The device that a command computes on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    import torch

    from .training.processes import Place

DEVICE_HELP = "cpu, cuda or cuda:N; auto takes a GPU if there is one and the CUDA kernels are installed (default: auto)"

NO_KERNELS = "this installation has no CUDA kernels; install it again where nvcc is (docs/install.md)"


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device that is there, and make it torch's current one.

    Raises
    ------
    UserError
        No such device; the message says why.
    """
    import torch

    if name == "auto":
        name = _best_kind()
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UserError(f"--device {name}: must be auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        why = "no GPU is visible" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise UserError(f"--device {name}: {why}; use --device cpu")
    if int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    if not _has_cuda_kernels():
        raise UserError(f"--device {name}: {NO_KERNELS}, or use --device cpu")
    device = torch.device("cuda", int(index or 0))
    torch.cuda.set_device(device)
    return device


def choose_device_of_process(name: str, place: Place) -> torch.device:
    """The device of one process of a distributed training: `choose_device` with a GPU for each process of a node.

    Parameters
    ----------
    name
        What the user gave; see `choose_device`.
    place
        Which of how many processes this one is; a single process may have any device.

    Raises
    ------
    UserError
        No such device, or fewer GPUs than processes; the message says why.
    """
    if place.count == 1:
        return choose_device(name)
    if ":" in name:
        raise UserError(f"--device {name}: every process has a device of its own; say --device cuda")
    if name == "auto":
        name = _best_kind()
    return choose_device(f"cuda:{place.local_rank}" if name == "cuda" else name)


def _best_kind() -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    if _has_cuda_kernels():
        return "cuda"
    print(f"the GPU is not used: {NO_KERNELS}", file=sys.stderr)
    return "cpu"


def _has_cuda_kernels() -> bool:
    from swin_umamba_ext.library import CUDA_LIBRARY

    return CUDA_LIBRARY is not None
