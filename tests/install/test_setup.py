"""What setup.py refuses, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# Runs setup.py and prints the architectures that torch would compile.
PRINT_ARCHITECTURES = """
import os, runpy, sys
sys.argv = ["setup.py", "--version"]
runpy.run_path("setup.py", run_name="__main__")
print(os.environ["TORCH_CUDA_ARCH_LIST"])
"""


def setup(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(command or ("setup.py", "--version"))],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SWIN_UMAMBA_CUDA": "yes"}, 'SWIN_UMAMBA_CUDA is "yes"; it must be auto, 0 or 1'),
        ({"SWIN_UMAMBA_PART": "half"}, 'SWIN_UMAMBA_PART is "half"; it must be all, operators or product'),
        ({"CXX": "no-such-compiler"}, "no C++ compiler"),
    ],
)
def test_refusals(environment: dict[str, str], message: str) -> None:
    result = setup(**environment)
    assert result.returncode != 0
    assert message in result.stderr


def test_the_product_has_no_source_distribution() -> None:
    for command in (["setup.py", "sdist"], ["-c", "from setuptools import build_meta; build_meta.build_sdist('dist')"]):
        result = setup(*command, SWIN_UMAMBA_PART="product")
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert "SWIN_UMAMBA_PART=product makes no source distribution" in result.stderr


def test_version() -> None:
    result = setup(SWIN_UMAMBA_CUDA="0")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("0.1.0")


def toolkit(folder: Path, script: str) -> str:
    """A folder that looks like a CUDA toolkit, whose nvcc is this shell script."""
    (folder / "include").mkdir()
    (folder / "include" / "cuda_runtime.h").touch()
    (folder / "bin").mkdir()
    (folder / "bin" / "nvcc").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "nvcc").chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("version", "chosen", "architectures"),
    [
        ("12.4", "", "8.0+PTX;8.6;8.9;9.0+PTX"),
        ("12.7", "", "8.0+PTX;8.6;8.9;9.0+PTX"),
        ("12.8", "", "8.0+PTX;8.6;8.9;9.0;10.0;12.0+PTX"),
        ("12.10", "", "8.0+PTX;8.6;8.9;9.0;10.0;12.0+PTX"),
        ("13.0", "", "8.0+PTX;8.6;8.9;9.0;10.0;12.0+PTX"),
        ("12.4", "9.0", "9.0"),
    ],
)
def test_architectures_are_those_that_nvcc_knows(tmp_path: Path, version: str, chosen: str, architectures: str) -> None:
    home = toolkit(tmp_path, f'echo "Cuda compilation tools, release {version}, V{version}.99"')
    result = setup("-c", PRINT_ARCHITECTURES, SWIN_UMAMBA_CUDA="1", CUDA_HOME=home, TORCH_CUDA_ARCH_LIST=chosen)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == architectures


@pytest.mark.parametrize("script", ["echo nothing", "exit 3"])
def test_nvcc_that_does_not_run(tmp_path: Path, script: str) -> None:
    home = toolkit(tmp_path, script)
    result = setup(SWIN_UMAMBA_CUDA="1", CUDA_HOME=home, TORCH_CUDA_ARCH_LIST="")
    assert result.returncode != 0
    assert f'"{home}/bin/nvcc --version" names no release' in result.stderr
    assert "Traceback" not in result.stderr
