"""Damaged images and label images are read right, or refused in one line, by everything that reads them."""

from pathlib import Path

import pytest

from .harness import fuzz

MODULE = Path(__file__).with_name("image_files.py")


def test_damaged_images_end_well():
    counts = fuzz(MODULE, range(1000), budget=5)
    assert counts.failures == []
    assert counts.ended.total() > 10


@pytest.mark.slow
def test_ten_thousand_damaged_images_end_well():
    counts = fuzz(MODULE, range(10_000), workers=2)
    print(counts)
    assert counts.failures == []
    assert counts.ended.total() == 10_000
