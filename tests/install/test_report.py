"""``python -m swin_umamba_ext``."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from swin_umamba_ext import library


def report(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "swin_umamba_ext"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_report_names_what_is_there() -> None:
    result = report()
    assert result.returncode == 0, result.stderr
    for text in (torch.__version__, library.instruction_set(), "compiled backends", "GPUs seen", "relative error"):
        assert text in result.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a file that is always full")
def test_a_full_disk_is_a_problem_in_one_line() -> None:
    command = [sys.executable, "-m", "swin_umamba_ext"]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert result.returncode == 1
    assert result.stderr == "PROBLEM: the report cannot be written: No space left on device\n"


def test_every_available_instruction_set_works() -> None:
    for name in library.available_instruction_sets():
        result = report(SWIN_UMAMBA_CPU=name)
        assert result.returncode == 0, result.stderr
        assert f"{name} in use" in result.stdout


def test_unknown_instruction_set_is_a_named_problem() -> None:
    result = report(SWIN_UMAMBA_CPU="sse9")
    assert result.returncode == 1
    assert 'SWIN_UMAMBA_CPU is "sse9"' in result.stderr
    assert "portable" in result.stderr
