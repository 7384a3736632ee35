"""Which instruction sets are compiled, and which one is chosen."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import pytest

from .build import ROOT
from .conftest import Kernels

NEEDS = {
    "avx2": {"avx2", "fma", "f16c"},
    "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
}
X86 = platform.machine().lower() in ("x86_64", "amd64")


def test_each_set_runs_as_named(kernel_sets):
    assert [kernels.cpu_kernels() for kernels in kernel_sets] == [kernels.name for kernels in kernel_sets]
    assert kernel_sets[0].name == "portable"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or not X86, reason="reads the flags that Linux gives on x86-64")
def test_sets_are_those_of_the_processor(kernel_sets):
    flags = set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split())
    wanted = ["portable", *(name for name, needs in NEEDS.items() if needs <= flags)]
    assert [kernels.name for kernels in kernel_sets] == wanted


def test_widest_set_is_the_default(module, kernel_sets):
    default = Kernels(module, "")
    assert default.cpu_kernels() == kernel_sets[-1].name
    default.close()


def test_unknown_set(module):
    kernels = Kernels(module, "sse9")
    with pytest.raises(RuntimeError, match='SWIN_UMAMBA_CPU is "sse9", but this build and processor have only: port'):
        kernels.cpu_kernels()
    kernels.close()


@pytest.mark.skipif(not X86, reason="other architectures have the portable set alone")
def test_cmake_and_setup_compile_with_the_same_flags(module):
    commands = json.loads((module.parents[1] / "compile_commands.json").read_text())
    for name, needs in NEEDS.items():
        cmake = next(set(c["command"].split()) for c in commands if f"SWIN_ISA={name}" in c["command"])
        setup = set(re.findall(r'"(-m[^"]+)"', (ROOT / "setup.py").read_text()))
        machine = {flag for flag in cmake if flag.startswith("-m")}
        assert {flag.removeprefix("-m") for flag in machine} >= needs
        assert machine <= setup
        if name == "avx512":
            assert machine == setup
        assert {"-std=c++17", "-O3", "-Wno-psabi", "-DSWIN_X86"} <= cmake
