"""What the processors are, how many there are, and how nnU-Net, OpenMP and torch use them."""

from __future__ import annotations

import os
from functools import cache


def available_processors() -> int:
    """Number of processors this process may use, which containers and schedulers often limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bfloat16_units() -> bool:
    """Whether this processor multiplies matrices in bfloat16 by instructions made for it, and torch uses them.

    These are AMX-BF16 (Intel's server processors since 2023) and AVX512-BF16 (AMD's since Zen 4). Without, torch
    computes in float32, and converts before and after.
    """
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


@cache
def has_slow_float32_products() -> bool:
    """Whether PyTorch multiplies float32 matrices without the AVX-512 that this processor has.

    MKL does so on processors of AMD, and oneDNN's convolutions do not: 0.2 against 0.5 TFLOP/s on two processors of an
    EPYC with AVX512-BF16.
    """
    import torch

    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_f")) and str(capabilities.get("cpu_name")).startswith("AMD")


def set_worker_defaults(processes: int = 1) -> None:
    """Choose numbers of workers for nnU-Net, how threads wait and torch's pages of memory, unless the user has.

    Must come before the first import of ``torch``, which reads some of these variables only then.

    Parameters
    ----------
    processes
        How many training processes share this machine.
    """
    available = available_processors()
    os.environ.setdefault("nnUNet_def_n_proc", str(min(8, available)))
    os.environ.setdefault("nnUNet_n_proc_DA", str(min(12, max(1, available // processes))))
    # How often a thread that waits for others looks before it sleeps: enough for the gaps inside a network. GNU
    # OpenMP's own number takes the processor from the thread that is waited for as soon as anything else runs on the
    # machine (benchmarks/cpu.py waiting).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    # Large tensors in huge pages, where the system leaves that to the program: fewer page faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
