"""Build the emulated CUDA kernels once for all tests of this folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "csrc" / "emulation"


def build(folder: Path, *options: str) -> Path:
    """Build the module in ``folder`` and return its path."""
    pybind11 = pytest.importorskip("pybind11")
    commands = [
        [
            "cmake",
            "-S",
            str(SOURCE),
            "-B",
            str(folder),
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            *options,
        ],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return folder / f"_emulation{sysconfig.get_config_var('EXT_SUFFIX')}"


@pytest.fixture(scope="session")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The emulated kernels."""
    path = build(tmp_path_factory.mktemp("emulation"))
    spec = importlib.util.spec_from_file_location("_emulation", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
