"""What setup.py refuses, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def setup(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", "--version"],
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
        ({"CXX": "no-such-compiler"}, "no C++ compiler"),
    ],
)
def test_refusals(environment: dict[str, str], message: str) -> None:
    result = setup(**environment)
    assert result.returncode != 0
    assert message in result.stderr


def test_version() -> None:
    result = setup(SWIN_UMAMBA_CUDA="0")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("0.1.0")
