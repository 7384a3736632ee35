"""Time and memory of a training, and its operations."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from swin_umamba.common.errors import RunError
from swin_umamba.comparison.energy import EnergyMeter
from swin_umamba.comparison.measurements import NAME, Epoch, Measurements
from swin_umamba.comparison.measuring import Measuring

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


class Trainer(SimpleNamespace):
    """What a measurement needs of a trainer; it counts how often a network is built."""

    def __init__(self):
        plan = SimpleNamespace(patch_size=[16, 16])
        labels = SimpleNamespace(num_segmentation_heads=3)
        super().__init__(device=CPU, configuration_manager=plan, plans_manager=None, label_manager=labels, built=0)
        self.num_input_channels, self.enable_deep_supervision = 1, True

    def build_network_architecture(self, plans, plan, n_in, n_out, deep_supervision):
        assert (n_in, n_out, deep_supervision) == (1, 3, True)
        self.built += 1
        return torch.nn.Conv2d(n_in, n_out, 3, padding=1)


def _train_epoch(measuring, epoch, seconds, monkeypatch):
    clock = iter(time for step, length in enumerate(seconds) for time in (100.0 * step, 100.0 * step + length))
    monkeypatch.setattr("swin_umamba.comparison.measuring.time.perf_counter", lambda: next(clock))
    for _ in seconds:
        measuring.step_begins()
        measuring.iteration_done(0.5)
    for _ in range(2):
        measuring.iteration_done(None)
    measuring.epoch_done(epoch, 0.5, 0.6, 0.7)


def test_a_training_is_measured_across_processes(tmp_path, monkeypatch):
    trainer = Trainer()
    generator = torch.get_rng_state()
    first = Measuring(tmp_path)
    first.training_begins(trainer)
    assert torch.equal(torch.get_rng_state(), generator)
    counted = Measurements.read(tmp_path)
    # Weights and bias; 9 products for each of 3 channels and 256 pixels.
    assert (counted.parameters, counted.multiply_accumulates, counted.scan) == (30, 27 * 256, 0)
    assert counted.step_seconds is None
    _train_epoch(first, 0, (1.0, 9.0, 2.0), monkeypatch)
    assert Measurements.read(tmp_path).epochs[0].step_seconds == pytest.approx(2)

    resumed = Measuring(tmp_path)
    resumed.training_begins(trainer)
    _train_epoch(resumed, 1, (4.0, 6.0), monkeypatch)
    _train_epoch(resumed, 2, (3.0,), monkeypatch)
    measured = Measurements.read(tmp_path)
    assert [epoch.step_seconds for epoch in measured.epochs.values()] == pytest.approx([2, 5, 3])
    assert measured.step_seconds == pytest.approx(3)
    assert measured.peak_memory > 0
    assert trainer.built == 1


@pytest.fixture
def powercap(tmp_path):
    """A function that sets the counters of two processors as Linux has them, each with a part."""

    def set_counters(*values):
        for number, value in enumerate(values):
            for name in (f"intel-rapl:{number}", f"intel-rapl:{number}:0"):
                folder = tmp_path / "powercap" / name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "max_energy_range_uj").write_text("9999999\n")
                (folder / "energy_uj").write_text(f"{value}\n")
        return tmp_path / "powercap"

    return set_counters


def test_energy_is_that_of_all_processors_since_the_last_question(powercap):
    meter = EnergyMeter(CPU, powercap(1_000_000, 9_000_000))
    assert meter.joules() == 0
    powercap(3_500_000, 9_500_000)
    assert meter.joules() == pytest.approx(2.5 + 0.5)
    # The second counter has started again.
    powercap(3_500_000, 1_499_999)
    assert meter.joules() == pytest.approx(1.999999 + 0.000001)


def test_no_counters_are_no_energy(tmp_path, powercap):
    assert EnergyMeter(CPU, tmp_path / "none").joules() is None
    folder = powercap(1, 2)
    (folder / "intel-rapl:0" / "energy_uj").write_text("secret")
    (folder / "intel-rapl:1" / "energy_uj").unlink()
    assert EnergyMeter(CPU, folder).joules() is None


def test_energy_is_told_if_every_epoch_was_measured(tmp_path):
    epochs = {0: Epoch(1.0, 1, 2.0), 1: Epoch(1.0, 1, 3.5)}
    Measurements(1, 1, 0, epochs).write(tmp_path)
    assert Measurements.read(tmp_path).joules == 5.5
    assert Measurements(1, 1, 0, {**epochs, 2: Epoch(1.0, 1)}).joules is None
    assert Measurements().joules is None


@pytest.mark.parametrize("text", ["", "[]", '{"epochs": {"x": {}}}', '{"epochs": {}, "colour": 1}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(RunError, match=NAME):
        Measurements.read(tmp_path)


PEAKS = """
from types import SimpleNamespace
from swin_umamba.comparison.measurements import peak_memory, reset_peak_memory

MIB, CPU = 1 << 20, SimpleNamespace(type="cpu")
big = bytearray(300 * MIB)
with_big = peak_memory(CPU)
del big
reset_peak_memory(CPU)
after = peak_memory(CPU)
assert with_big - after > 250 * MIB, (with_big, after)
again = bytearray(100 * MIB)
assert 80 * MIB < peak_memory(CPU) - after < 200 * MIB, (peak_memory(CPU), after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a former peak")
def test_the_peak_is_of_what_came_after_the_reset():
    # In a new process: the allocator of one that has done much may have 100 MiB to spare, and take no more.
    subprocess.run([sys.executable, "-c", PEAKS], check=True)


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
