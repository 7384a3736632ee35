"""Comparisons that really train, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from swin_umamba.comparison.measurements import Measurements
from swin_umamba.jobs.comparison_process import run_process
from swin_umamba.networks.build import build_model

from .conftest import BUDGET, read_record

NAMES = ["nnunet", "segresnet"]


def _start(discs: Path, cwd: Path, command: str = "compare", *arguments: object) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("nnUNet_")}
    environment |= {"nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}
    words = arguments or (discs, *BUDGET, "--models", ",".join(NAMES), "--output", "out")
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; from swin_umamba.commands.cli import main; sys.exit(main())", command]
        + [str(word) for word in words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=900)
    return process.returncode, stdout, stderr


def _wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "the comparison did not get that far in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def finished(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison that was killed in its second system, and went on."""
    cwd = tmp_path_factory.mktemp("finished")
    out = cwd / "out"
    process = _start(discs, cwd)
    try:
        _wait_for(lambda: list((out / NAMES[1]).rglob("checkpoint_latest.pth")), process)
    finally:
        process.kill()
        process.communicate()
    assert [row["state"] for row in read_record(out)["systems"]] == ["finished", "not trained yet"]
    # The process that trained ends by itself, with the one that started it.
    log = out / NAMES[1] / "train.log"
    _wait_until_quiet(log)
    assert not (out / NAMES[1] / "metrics.json").exists()
    before = (out / NAMES[0] / "metrics.json").read_bytes()
    code, stdout, stderr = _finish(_start(discs, cwd))
    assert code == 0, stderr
    assert "nnU-Net has been trained before" in stdout
    assert "resumed after epoch" in stdout
    assert (out / NAMES[0] / "metrics.json").read_bytes() == before
    return out


def _wait_until_quiet(log: Path) -> None:
    last = -1
    while (size := log.stat().st_size) != last:
        last = size
        time.sleep(5)


@pytest.mark.slow
def test_the_table_of_trained_systems(finished):
    record = read_record(finished)
    assert [row["state"] for row in record["systems"]] == ["finished", "finished"]
    for row in record["systems"]:
        metrics = json.loads((finished / row["name"] / "metrics.json").read_text())
        assert row["scores"]["dsc"]["mean"] == metrics["held_out"]["dsc"]["mean"]
        network = build_model(row["model"], 1, 3, (32, 32))
        assert row["parameters"] == sum(parameter.numel() for parameter in network.parameters())
        assert row["multiply_accumulates"] > row["parameters"]
        assert 0 < row["step_seconds"] < metrics["seconds"]["training"]
        # Weights, gradients and the optimizer's state at least; this machine's memory at most.
        assert 8 * row["parameters"] < row["peak_memory_bytes"] < 64e9
        assert (finished / row["name"] / "report.html").exists()
    assert (finished / "comparison.png").exists()


@pytest.mark.slow
def test_a_compared_run_has_the_weights_of_a_run_on_its_own(finished, discs, tmp_path):
    arguments = (discs, *BUDGET, "--model", NAMES[0], "--output", "alone")
    code, _, stderr = _finish(_start(discs, tmp_path, "train", *arguments))
    assert code == 0, stderr
    alone, compared = (
        torch.load(folder / "checkpoint.pth", weights_only=True)["network_weights"]
        for folder in (tmp_path / "alone", finished / NAMES[0])
    )
    assert all(torch.equal(alone[name], compared[name]) for name in alone)


@pytest.mark.slow
def test_train_resumes_a_run_of_a_comparison(finished):
    before = read_record(finished)["systems"][1]
    code, _, stderr = _finish(_start(finished, finished, "train", "--resume", "--output", NAMES[1], "--device", "cpu"))
    assert code == 0, stderr
    metrics = json.loads((finished / NAMES[1] / "metrics.json").read_text())
    assert metrics["held_out"]["dsc"]["mean"] == before["scores"]["dsc"]["mean"]


@pytest.mark.slow
def test_one_system_fails_and_the_other_goes_on(discs, tmp_path):
    process = _start(discs, tmp_path)
    # Its results cannot be written where a file has the name of their folder.
    _wait_for(lambda: (tmp_path / "out" / NAMES[0] / "settings.json").exists(), process)
    (tmp_path / "out" / NAMES[0] / "nnUNet_results").write_text("in the way")
    code, _, stderr = _finish(process)
    assert code == 1
    assert "1 of 2 systems failed (nnunet)" in stderr
    rows = read_record(tmp_path / "out")["systems"]
    assert [row["state"] for row in rows] == ["failed", "finished"]
    assert "Error" in rows[0]["failure"]
    assert "train.log" in rows[0]["failure"]


@pytest.mark.slow
def test_interrupting_stops_both_processes(discs, tmp_path):
    process = _start(discs, tmp_path)
    log = tmp_path / "out" / NAMES[0] / "train.log"
    _wait_for(lambda: log.exists(), process)
    process.send_signal(signal.SIGINT)
    code, stdout, stderr = _finish(process)
    assert code == 130
    assert "the same command goes on" in stdout
    assert "Traceback" not in stderr
    assert Measurements.read(tmp_path / "out" / NAMES[0]).step_seconds is None


def test_a_process_that_cannot_start_says_why(tmp_path):
    reason = run_process(tmp_path / "nothing", "cpu")
    assert "settings" in reason
    assert "\n" not in reason
