"""The device that a command computes on."""

from __future__ import annotations

import sys

from .errors import UserError

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    import torch

    from .processes import Ranks

DEVICE_HELP = "cpu, cuda or cuda:N; auto takes a GPU if there is one that the model can use (default: auto)"


def check_device(name: str, *, needs_kernels: bool) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device that is there.

    Nothing is put on it, so that a process which leaves the computing to others takes none of its memory.

    Parameters
    ----------
    name
        What the user gave. If ``auto`` leaves a GPU alone, a line on stderr says why.
    needs_kernels
        Whether the network uses the CUDA kernels of this package.

    Raises
    ------
    UserError
        No such device; the message says why.
    """
    import torch

    if name == "auto":
        name = _best_kind(needs_kernels, says_why=True)
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UserError(f"--device {name}: must be auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        why = "no GPU is visible" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise UserError(f"--device {name}: {why}; use --device cpu")
    device = torch.device("cuda", int(index or 0))
    if device.index >= torch.cuda.device_count():
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    if needs_kernels and (obstacle := _obstacle()):
        raise UserError(f"--device {name}: {obstacle}, or use --device cpu")
    return device


def choose_device(name: str, *, needs_kernels: bool) -> torch.device:
    """`check_device`, and make a GPU torch's current one, after a trial of the kernels where they are needed.

    Raises
    ------
    UserError
        No such device, or it cannot be used; the message says why.
    """
    device = check_device(name, needs_kernels=needs_kernels)
    if device.type == "cuda":
        _occupy(device, name, needs_kernels)
    return device


def choose_device_of_process(name: str, ranks: Ranks, *, needs_kernels: bool) -> torch.device:
    """The device of one process of a distributed training: `choose_device` with a GPU for each process of a node.

    Parameters
    ----------
    name
        What the user gave; see `check_device`.
    ranks
        Of the process; a single one may have any device.
    needs_kernels
        Whether the network uses the CUDA kernels of this package.

    Raises
    ------
    UserError
        No such device, or it cannot be used, or fewer GPUs than processes; the message says why.
    """
    if ranks.world_size == 1:
        return choose_device(name, needs_kernels=needs_kernels)
    if ":" in name:
        raise UserError(f"--device {name}: every process has a device of its own; say --device cuda")
    if name == "auto":
        name = _best_kind(needs_kernels, says_why=ranks.rank == 0)
    return choose_device(f"cuda:{ranks.local_rank}" if name == "cuda" else name, needs_kernels=needs_kernels)


def _best_kind(needs_kernels: bool, says_why: bool) -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    why = None
    if needs_kernels:
        from swin_umamba_ext.ops.devices import too_old

        if why := too_old(torch.device("cuda", 0)):
            why += "; --device cuda takes it all the same, with plain torch operations"
        why = _obstacle() or why
    if why is None:
        return "cuda"
    if says_why:
        print(f"the GPU is not used: {why}", file=sys.stderr)
    return "cpu"


def _obstacle() -> str | None:
    """What keeps the CUDA kernels from every GPU, and what to do."""
    from swin_umamba_ext.library import CUDA_LIBRARY

    if CUDA_LIBRARY is None:
        return "this installation has no CUDA kernels; install it again where nvcc is (docs/install.md)"
    return None


def _occupy(device: torch.device, name: str, needs_kernels: bool) -> None:
    """Make a GPU the current one; raise `UserError` if it is busy, or the kernels were compiled for others."""
    import torch

    import swin_umamba_ext

    try:
        torch.cuda.set_device(device)
        if needs_kernels:
            # Better now than in the first step, after hours of preprocessing.
            swin_umamba_ext.cross_scan(torch.empty(1, 1, 1, 1, device=device))
            torch.cuda.synchronize(device)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        advice = "use another device"
        if "no kernel image" in reason:
            capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
            advice = f"install again with TORCH_CUDA_ARCH_LIST={capability} (docs/install.md), or use --device cpu"
        raise UserError(f"--device {name}: the GPU cannot be used: {reason}; {advice}") from error
