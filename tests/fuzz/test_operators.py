"""Extreme operator problems end without a crash, near the definition, on every instruction set of the processor."""

from pathlib import Path

import pytest

from swin_umamba_ext import library

from .harness import fuzz

MODULE = Path(__file__).with_name("operator_problems.py")
SETS = library.available_instruction_sets()


@pytest.mark.parametrize("name", SETS)
def test_extreme_problems_end_well(name):
    counts = fuzz(MODULE, range(300), budget=3, SWIN_UMAMBA_CPU=name)
    assert counts.failures == []
    assert counts.ended.total() > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_ten_thousand_extreme_problems_end_well(name):
    counts = fuzz(MODULE, range(10_000), workers=2, SWIN_UMAMBA_CPU=name)
    print(name, counts)
    assert counts.failures == []
    assert counts.ended.total() == 10_000
