"""How many processors there are, and how nnU-Net, OpenMP and torch use them."""

from __future__ import annotations

import os


def available_processors() -> int:
    """Number of processors this process may use, which containers and schedulers often limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
