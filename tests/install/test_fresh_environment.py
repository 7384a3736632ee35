"""The wheels in fresh environments without a compiler: pip chooses the newest that they take, beside a torch.

Gigabytes are downloaded, and removed again. `pytest -m slow -s` shows what pip chose.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TINY = ("--epochs", "3", "--iterations", "2", "--batch-size", "2", "--patch-size", "32", "32", "--device", "cpu")
SHOWN = ("torch", "torchvision", "nnunetv2", "monai", "numpy", "scipy")
VERSIONS = f"from importlib.metadata import version; print(*(f'{{name}} {{version(name)}}' for name in {SHOWN}))"


class Environment:
    """A virtual environment whose programs find nothing but their own folder in PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)

    def run(self, program: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CXX", "CC")}
        return subprocess.run(
            [self.folder / "bin" / program, *map(str, arguments)],
            env={**kept, "PATH": str(self.folder / "bin"), "nnUNet_def_n_proc": "1"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            **options,
        )

    def checked(self, program: str, *arguments: object) -> str:
        done = self.run(program, *arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture
def environment(tmp_path):
    yield Environment(tmp_path / "env")
    shutil.rmtree(tmp_path / "env")


@pytest.mark.slow
@pytest.mark.parametrize(("torch", "torchvision"), [("2.13.0", "0.28.0"), ("2.14.1", "0.29.1")])
def test_the_wheels_in_a_fresh_environment(environment, wheels, torch, torchvision):
    chosen = wheels["operators"], wheels["product"], f"torch=={torch}", f"torchvision=={torchvision}"
    environment.checked("python", "-m", "pip", "install", "--no-cache-dir", *chosen)
    print(environment.checked("python", "-c", VERSIONS))
    compilers = "import shutil; print(*filter(None, map(shutil.which, ('c++', 'g++', 'gcc', 'cc', 'clang', 'nvcc'))))"
    assert environment.checked("python", "-c", compilers).split() == []

    assert "ss2d on the CPU" in environment.checked("python", "-m", "swin_umamba_ext")
    environment.checked("swin-umamba", "train", *TINY, "--output", "run")
    metrics = json.loads((environment.folder / "run" / "metrics.json").read_text())
    assert metrics["versions"]["torch"].partition("+")[0] == torch
    assert len(metrics["training"]["train_loss"]) == 3

    found = environment.run("swin-umamba", "nnunet-path", "--check")
    torchvision_works = environment.run("python", "-c", "import torchvision").returncode == 0
    print(f"torchvision works: {torchvision_works}; {found.stderr}")
    if torchvision_works:
        assert found.returncode == 0, found.stderr
    else:  # one for CUDA beside a torch for the CPU, on which nnU-Net's search fails, see docs/nnunet.md
        assert found.returncode == 1
        assert "torchvision" in found.stderr
