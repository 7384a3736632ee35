"""The compiled libraries: loading them registers the operators ``torch.ops.swin_umamba.*``."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

FOLDER = Path(__file__).parent
MINIMUM_TORCH = (2, 10)


def _find(name: str) -> Path | None:
    return next(iter(sorted(FOLDER.glob(f"{name}*.so"))), None)


def _load() -> tuple[Path, Path | None]:
    """Load the CPU library and, where torch has CUDA, the CUDA library."""
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < MINIMUM_TORCH:
        raise ImportError(f"it needs torch 2.10 or later, found torch {torch.__version__}")
    cpu = _find("_C")
    if cpu is None:
        raise ImportError(f"not compiled: {FOLDER} has no library _C. Run `pip install .` in the checkout")
    torch.ops.load_library(str(cpu))
    cuda = _find("_cuda")
    if cuda is not None and torch.version.cuda is not None:
        torch.ops.load_library(str(cuda))
        return cpu, cuda
    return cpu, None


CPU_LIBRARY, CUDA_LIBRARY = _load()


def compiled_backends() -> list[str]:
    """The backends in this installation, whether or not this torch can use them."""
    return ["cpu"] + (["cuda"] if _find("_cuda") else [])


def _ask(function: str) -> str:
    call = getattr(ctypes.CDLL(str(CPU_LIBRARY)), function)
    call.restype = ctypes.c_char_p
    answer: bytes = call()
    return answer.decode()


def available_instruction_sets() -> list[str]:
    """The CPU kernel sets that were compiled and that this processor runs, narrowest first."""
    return _ask("swin_umamba_available_cpu_kernels").split()


def instruction_set() -> str:
    """The CPU kernel set in use; the environment variable ``SWIN_UMAMBA_CPU`` forces one.

    Raises
    ------
    RuntimeError
        If ``SWIN_UMAMBA_CPU`` names a set that is not available.
    """
    answer = _ask("swin_umamba_cpu_kernels")
    if answer.startswith("error: "):
        raise RuntimeError(answer.removeprefix("error: "))
    return answer
