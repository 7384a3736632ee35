"""Damaged checkpoints are read right, or refused in one line, within limits of time and memory, and run nothing."""

from pathlib import Path

import pytest

from .harness import fuzz

MODULE = Path(__file__).with_name("checkpoint_files.py")


def test_damaged_checkpoints_end_well():
    counts = fuzz(MODULE, range(300), budget=5)
    assert counts.failures == []
    assert counts.ended.total() > 10


@pytest.mark.slow
def test_ten_thousand_damaged_checkpoints_end_well():
    counts = fuzz(MODULE, range(10_000), workers=2)
    print(counts)
    assert counts.failures == []
    assert counts.ended.total() == 10_000
