"""Progress on a terminal and without one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from swin_umamba.common.progress import clock
from swin_umamba.trainers.progress import TrainingProgress


def _train(console):
    with TrainingProgress(console, epochs=2, finished_epochs=0, steps=3) as progress:
        print("noise of nnU-Net")
        for epoch in range(2):
            for loss in (0.5, 0.4, None):
                progress.iteration_done(loss)
            progress.epoch_done(epoch, 0.45, 0.6, 0.7)


def test_a_terminal_gets_a_bar_with_loss_and_time_left_the_lines_of_epochs_and_no_noise(capsys):
    screen = io.StringIO()
    _train(Console(file=screen, force_terminal=True, width=120, color_system=None))
    assert "epoch 1/2  loss 0.450  validation loss 0.600  validation Dice 0.700" in screen.getvalue()
    assert "epoch 2/2" in screen.getvalue()
    assert "6/6" in screen.getvalue()
    assert "loss 0." in screen.getvalue()
    assert "left" in screen.getvalue()
    assert "noise" not in screen.getvalue()
    assert "noise" in capsys.readouterr().out


def test_a_file_gets_one_line_for_each_epoch():
    screen = io.StringIO()
    _train(Console(file=screen, width=120))
    first, second = screen.getvalue().splitlines()
    assert first.startswith("epoch 1/2  loss 0.450  validation loss 0.600  validation Dice 0.700")
    assert second.endswith("left 0:00")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3599.6, "1:00:00"), (7325, "2:02:05")])
def test_clock(seconds, text):
    assert clock(seconds) == text
