"""What a user's type checker sees of the installed packages."""

from __future__ import annotations

import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
import swin_umamba

from swin_umamba_ext import library

PROGRAM = """\
from pathlib import Path

import torch
from swin_umamba import HubModel, SwinUMambaD, build_model, load_pretrained
from swin_umamba_ext import cross_scan, instance_norm, ss2d


def segment(image: torch.Tensor, weights: Path) -> torch.Tensor:
    network = SwinUMambaD(in_channels=1, num_classes=3)
    print(load_pretrained(network, weights))
    logits: torch.Tensor = network.eval()(image)
    return logits.argmax(1)


def labels(folder: Path) -> tuple[str, ...]:
    return HubModel.from_pretrained(folder).labels


def normalized(image: torch.Tensor) -> torch.Tensor:
    return cross_scan(instance_norm(image))


reveal_type(build_model("nnunet"))
SwinUMambaD("one")
ss2d(torch.rand(1, 8, 8, 16))
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of an environment with copies of the packages, as type checkers ignore editable installations."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    for package in (Path(swin_umamba.__file__).parent, library.FOLDER):
        shutil.copytree(package, packages / package.name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    elsewhere = [f"import site; site.addsitedir({folder!r})\n" for folder in site.getsitepackages()]
    (packages / "elsewhere.pth").write_text("".join(elsewhere))
    return tmp_path / "env" / "bin" / "python"


@pytest.mark.slow
def test_a_strict_check_of_a_program_finds_its_mistakes_and_no_others(python: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    check = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "program.py"]
    found = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True).stdout
    lines = PROGRAM.splitlines()
    places = [lines[int(number) - 1] for number in re.findall(r"^program\.py:(\d+): error", found, re.MULTILINE)]
    assert places == lines[-2:], found
    assert "SegmentationNetwork" in found
