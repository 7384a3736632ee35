"""nnU-Net's own commands, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from swin_umamba.nnunet_plugin import EXT_TRAINER

# Beside a CPU build of torch, the torchvision that nnU-Net brings cannot be imported: its compiled part is for CUDA,
# and its Python part fails as it finds two operators missing. Declared, they let it be imported as a matching build.
DECLARE_OPERATORS = """\
import torch

for name in ("nms", "qnms"):
    torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@dataclass(frozen=True)
class Stock:
    """Runs the commands of nnU-Net with its three folders below ``root``."""

    root: Path
    python_path: str
    ext_trainer: str = str(EXT_TRAINER)

    def run(self, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("nnUNet_")},
            **{name: str(self.root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")},
            "nnUNet_extTrainer": self.ext_trainer,
            "nnUNet_n_proc_DA": "1",
            "nnUNet_def_n_proc": "1",
            "PYTHONPATH": self.python_path,
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [str(Path(sys.executable).with_name(command)), *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )


@pytest.fixture(scope="session")
def stock_python_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What ``PYTHONPATH`` must be so that torchvision can be imported."""
    inherited = os.environ.get("PYTHONPATH", "")
    if subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0:
        return inherited
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(DECLARE_OPERATORS)
    return os.pathsep.join(filter(None, [str(folder), inherited]))


@pytest.fixture
def stock(tmp_path: Path, stock_python_path: str) -> Stock:
    return Stock(tmp_path, stock_python_path)
