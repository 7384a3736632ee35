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
from ..problems.operators import scan_problem, ss2d_problem

RUN = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
import swin_umamba_emulation as m
"""
KERNELS = """
x, scan, scan_grads, image, image_grads = pickle.load(open(sys.argv[2], "rb"))
height, width = x.shape[2:]
m.cross_merge(**m.cross_scan(x=x), height=height, width=width)
m.selective_scan_backward(states=m.selective_scan(**scan)["states"], **scan_grads, **scan)
for multiprocessors in (1, 1000):
    saved = m.ss2d(**image, multiprocessors=multiprocessors)
    del saved["y"]
    m.ss2d_backward(**saved, **image_grads, **image, multiprocessors=multiprocessors)
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
    scan, image = scan_problem(2, 2, 9, 131, 17, constant_C=True), ss2d_problem(2, 7, 13, 11, 16, 3)
    x = np.random.default_rng(0).normal(size=(1, 3, 35, 67))
    arrays = [f() for problem in (scan, image) for f in (problem.arrays, problem.grad_arrays)]
    (tmp_path / "problems").write_bytes(pickle.dumps([x, *arrays]))
    done = run_sanitized(sanitized, KERNELS, str(tmp_path / "problems"))
    assert done.returncode == 0, done.stderr
    assert "all kernels ran" in done.stdout
