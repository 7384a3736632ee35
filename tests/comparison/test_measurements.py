"""Time and memory of a training, and its operations."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from swin_umamba.common.errors import RunError
from swin_umamba.comparison.measurements import NAME, Epoch, Measurements, peak_memory, reset_peak_memory

MIB = 2**20
CPU = torch.device("cpu")


def test_medians_and_maxima_survive_a_file(tmp_path):
    assert Measurements.read(tmp_path) == Measurements()
    assert Measurements().step_seconds is Measurements().peak_memory is None
    epochs = {0: Epoch(9.0, 5), 1: Epoch(1.0, 7), 2: Epoch(2.0, 6)}
    Measurements(3, 4, 1, epochs).write(tmp_path)
    measured = Measurements.read(tmp_path)
    assert measured == Measurements(3, 4, 1, epochs)
    assert (measured.step_seconds, measured.peak_memory) == (2.0, 7)


@pytest.mark.parametrize("text", ["", "[]", '{"epochs": {"x": {}}}', '{"epochs": {}, "colour": 1}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(RunError, match=NAME):
        Measurements.read(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a former peak")
def test_the_peak_is_of_what_came_after_the_reset():
    big = bytearray(300 * MIB)
    with_big = peak_memory(CPU)
    del big
    reset_peak_memory(CPU)
    after = peak_memory(CPU)
    assert with_big - after > 250 * MIB
    again = bytearray(100 * MIB)
    assert 80 * MIB < peak_memory(CPU) - after < 200 * MIB
    del again


@pytest.mark.skipif(sys.platform != "linux", reason="the confusion is Linux's")
def test_the_memory_of_a_process_is_not_that_of_the_one_that_started_it():
    big = bytearray(600 * MIB)
    script = (
        "from types import SimpleNamespace\n"
        "from swin_umamba.comparison.measurements import peak_memory\n"
        "print(peak_memory(SimpleNamespace(type='cpu')))\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert len(big) > int(shown)
