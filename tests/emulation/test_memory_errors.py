"""Under the address sanitizer: a kernel outside its arrays is found, and the operators' kernels stay inside."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ..kernels.build import build_module
from .problems import ImageProblem, ScanProblem, to_numpy

RUN = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
import swin_umamba_emulation as m
"""
KERNELS = """
x, scan, scan_gradients, image, grad_y = pickle.load(open(sys.argv[2], "rb"))
height, width = x.shape[2:]
m.cross_merge(**m.cross_scan(x=x), height=height, width=width)
m.selective_scan_backward(states=m.selective_scan(**scan)["states"], **scan_gradients, **scan)
for multiprocessors in (1, 1000):
    saved = m.ss2d(**image, multiprocessors=multiprocessors)
    del saved["y"]
    m.ss2d_backward(grad_y=grad_y, **saved, **image, multiprocessors=multiprocessors)
print("all kernels ran")
"""


@pytest.fixture(scope="module")
def sanitized() -> Path:
    return build_module("swin_umamba_emulation", "sanitized-emulation", "-DSWIN_UMAMBA_SANITIZE=ON")


def run_sanitized(module: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The sanitizer looks for the exceptions of C++ at start, when Python has not loaded their library.
    libraries = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    options = "detect_leaks=0:detect_stack_use_after_return=0"
    environment = os.environ | {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": options,
        "PYTHONMALLOC": "malloc",  # Python's own small blocks would hide an overflow
    }
    command = [sys.executable, "-c", RUN + code, str(module.parent), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_outside_global_memory_is_found(sanitized):
    done = run_sanitized(sanitized, 'm.run_test_kernel("outside_global")')
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert "outside_global" in done.stderr


def test_kernels_stay_inside_their_arrays(sanitized, tmp_path):
    scan = ScanProblem(batch=2, groups=2, channels_per_group=9, length=131, state=17, constant_C=True)
    image = ImageProblem(batch=2, height=7, width=13, dim=11, state=16, rank=3)
    gradients = {"grad_out": to_numpy(scan.grad_out), "grad_last_state": to_numpy(scan.grad_last_state)}
    x = np.random.default_rng(0).normal(size=(1, 3, 35, 67))
    problems = (x, scan.arrays(), gradients, image.arrays(), to_numpy(image.grad_out))
    (tmp_path / "problems").write_bytes(pickle.dumps(problems))
    done = run_sanitized(sanitized, KERNELS, str(tmp_path / "problems"))
    assert done.returncode == 0, done.stderr
    assert "all kernels ran" in done.stdout
