"""A checkout's source folder must not hide the installed, compiled package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import swin_umamba_ext
from swin_umamba_ext import library

ROOT = Path(__file__).parents[2]
INSTALLED = library.FOLDER
pytestmark = pytest.mark.skipif(
    "site-packages" not in INSTALLED.parts, reason="needs a plain installation; this one is editable"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout's packages and entry point, without compiled libraries."""
    for folder in ("swin_umamba_ext", "python"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    return tmp_path


def run(checkout: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_from_the_checkout(checkout: Path) -> None:
    program = (
        "import swin_umamba_ext as s; print(s.__file__); from swin_umamba_ext import library; print(library.FOLDER)"
    )
    source, folder = run(checkout, "-c", program).split()
    assert Path(source).parent == checkout / "swin_umamba_ext"
    assert Path(folder) == INSTALLED


def test_report_from_the_checkout(checkout: Path) -> None:
    report = run(checkout, "-m", "swin_umamba_ext")
    assert str(INSTALLED) in report
    assert "ss2d on the CPU" in report


def test_train_help_from_the_checkout(checkout: Path) -> None:
    assert "DATASET" in run(checkout, "train.py", "--help")


def test_operators_of_this_run_come_from_the_installation() -> None:
    assert Path(swin_umamba_ext.ss2d.__code__.co_filename).is_relative_to(INSTALLED)
