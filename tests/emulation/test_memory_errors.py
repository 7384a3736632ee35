"""Under the address sanitizer: a kernel outside its arrays is found, and the operators' kernels stay inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .conftest import build
from .problems import ImageProblem, ScanProblem, to_numpy

RUN = """
import importlib.util, sys
import numpy as np
spec = importlib.util.spec_from_file_location("_emulation", sys.argv[1])
m = importlib.util.module_from_spec(spec)
spec.loader.exec_module(m)
"""
KERNELS = """
arrays = dict(np.load(sys.argv[2], allow_pickle=True))
scan, image = list(arrays["scan"]), list(arrays["image"])
x = arrays["x"]
height, width = x.shape[2:]
m.cross_merge(m.cross_scan(x), height, width)
_, _, states = m.selective_scan_forward(*scan)
m.selective_scan_backward(*scan, states, arrays["scan_grad"], arrays["last_grad"])
for multiprocessors in (1, 1000):
    _, *saved = m.ss2d_forward(*image, multiprocessors)
    m.ss2d_backward(*image, *saved, arrays["image_grad"], multiprocessors)
print("all kernels ran")
"""


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized"), "-DSWIN_UMAMBA_SANITIZE=ON")


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
    command = [sys.executable, "-c", RUN + code, str(module), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_outside_global_memory_is_found(sanitized):
    done = run_sanitized(sanitized, 'm.run_test_kernel("outside_global")')
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert "outside_global" in done.stderr


def test_kernels_stay_inside_their_arrays(sanitized, tmp_path):
    scan = ScanProblem(batch=2, groups=2, channels_per_group=9, length=131, state=17, constant_C=True)
    image = ImageProblem(batch=2, height=7, width=13, dim=11, state=16, rank=3)
    objects = {"scan": np.empty(9, object), "image": np.empty(6, object)}
    objects["scan"][:] = scan.arrays()
    objects["image"][:] = image.arrays()
    np.savez(
        tmp_path / "problems.npz",
        **objects,
        x=np.random.default_rng(0).normal(size=(1, 3, 35, 67)),
        scan_grad=to_numpy(scan.grad_out),
        last_grad=to_numpy(scan.grad_last_state),
        image_grad=to_numpy(image.grad_out),
    )
    done = run_sanitized(sanitized, KERNELS, str(tmp_path / "problems.npz"))
    assert done.returncode == 0, done.stderr
    assert "all kernels ran" in done.stdout
