"""Freed memory stays with the process, and what the user has set stays as it is."""

import ctypes
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not GNU's")

# Page faults of the second of two tensors of 64 MiB, in pages of 4 KiB.
SCRIPT = """
import resource, torch
from swin_umamba.memory import keep_freed_memory
keep_freed_memory()
def fill(): torch.zeros(2**24)
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
before = faults()
fill()
print(faults() - before)
"""


def page_faults(**environment: str) -> int:
    names = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "THP_MEM_ALLOC_ENABLE")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**kept, **environment}, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def test_the_next_tensor_takes_the_freed_memory():
    assert page_faults() < 1000


def test_the_users_settings_are_left_alone():
    assert page_faults(MALLOC_TRIM_THRESHOLD_="1000") > 10_000
