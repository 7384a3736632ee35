"""Training with torch's DDP: two gloo processes on the CPU do what one process does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from swin_umamba.common.errors import UserError
from swin_umamba.common.processes import Ranks, check_batch_size

from .tiny_trainer import GLOBAL_BATCH, TinySwinUMambaD, make_batch, make_trainer, start_epoch

HERE = Path(__file__).resolve().parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def environment(finished, tmp_path_factory):
    return {
        "nnUNet_preprocessed": str(finished[0] / "nnUNet_preprocessed"),
        "nnUNet_results": str(tmp_path_factory.mktemp("results")),
        "nnUNet_n_proc_DA": "0",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def ranks(finished, discs, environment, tmp_path_factory):
    """What the two processes found, by scenario."""
    output = tmp_path_factory.mktemp("ranks")
    command = [*TORCHRUN, str(HERE / "distributed_worker.py"), *map(str, (finished[0], discs, output))]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(output / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    return {name: (first[name], second[name]) for name in first}


@pytest.fixture
def single(finished, discs, environment, monkeypatch):
    """The trainer of one process for the whole batch."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return make_trainer(TinySwinUMambaD, finished[0], discs, {"batch_size": GLOBAL_BATCH}, pretrained=False)


def test_the_first_step_is_that_of_one_process(ranks, single):
    start_epoch(single, 0)
    loss = float(single.train_step(make_batch(single, GLOBAL_BATCH))["loss"])
    first, second = ranks["first_step"]
    assert (first["loss"] + second["loss"]) / 2 == pytest.approx(loss, abs=1e-5)
    gradients = {name: p.grad for name, p in single.network.named_parameters() if p.grad is not None}
    assert gradients.keys() == first["gradients"].keys()
    for name, gradient in gradients.items():
        assert torch.equal(first["gradients"][name], second["gradients"][name]), name
        torch.testing.assert_close(first["gradients"][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_as_many_images_are_oversampled_as_in_one_process(ranks, single):
    share = GLOBAL_BATCH // 2
    oversampled = sum(share - round(share * (1 - rank["oversampled"])) for rank in ranks["first_step"])
    assert oversampled == GLOBAL_BATCH - round(GLOBAL_BATCH * (1 - single.oversample_foreground_percent))


def test_the_encoder_is_frozen_for_its_epochs_and_trained_alike_after_them(ranks):
    first, second = ranks["freezing"]
    for rank in (first, second):
        assert [all(epoch) for epoch in rank["frozen"]] == [True, True, False, False]
        assert not any(rank["frozen"][2])
    for ours, theirs in zip(first["weights"], second["weights"], strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_an_epoch_is_scored_over_all_processes_and_written_by_the_first(ranks):
    first, second = ranks["epoch"]
    for key in ("train_losses", "val_losses", "mean_fg_dice", "dice_per_class_or_region"):
        assert first["logging"][key] == second["logging"][key]
    names = {Path(path).name for path in first["written"]}
    assert {"plans.json.partial", "dataset.json.partial", "debug.json", "checkpoint_final.pth.partial"} <= names
    assert Path(first["folder"], "checkpoint_final.pth").exists()
    assert not [path for path in second["written"] if path != os.devnull]


def test_a_bad_image_in_one_process_stops_all_and_one_tells(ranks):
    first, second = ranks["bad_image"]
    assert first == {"exit": 1}
    assert (
        "the loss became nan in epoch 1, iteration 1; the batch holds NaN or infinite pixels in case3"
        in (second["message"])
    )
    (path,) = Path(ranks["epoch"][0]["folder"]).glob("nonfinite_*.pth")
    assert torch.load(path, weights_only=True)["batch"]["cases"] == ["case2", "case3"]


def test_a_batch_that_cannot_be_shared_is_refused():
    check_batch_size(12, 3)
    with pytest.raises(UserError, match=r"a batch of 6 images .* by 4 processes; use 1 or 2 or 3 or 6 of them"):
        check_batch_size(6, 4)


def test_an_environment_that_torchrun_did_not_make_is_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Ranks.from_environment() == Ranks()
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="one is missing or no number: 'RANK'"):
        Ranks.from_environment()


@pytest.mark.slow
def test_two_devices_train_predict_and_score(train_py, discs, tmp_path):
    done = train_py.run(discs, *train_py.tiny, "--devices", "2", "--output", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("epoch 3/3") == 1
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["training"]["processes"] == 2
    assert metrics["training"]["batch_size"] == 2
    assert len(metrics["training"]["train_loss"]) == 3
    assert metrics["held_out"]["cases"] == 2


@pytest.mark.slow
def test_torchrun_goes_on_with_a_run_of_one_process_that_was_killed(train_py, discs, tmp_path):
    arguments = (discs, *train_py.tiny, "--output", "run")
    process = train_py.start(*arguments, cwd=tmp_path)
    end = time.monotonic() + 600
    while not list(tmp_path.rglob("checkpoint_latest.pth")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    command = [*TORCHRUN, "-m", "swin_umamba.train", *map(str, arguments), "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "nnUNet_def_n_proc": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "resumed after epoch" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert len(metrics["training"]["train_loss"]) == 3
    assert metrics["training"]["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no/where"], 2, "no/where is not a folder"),
        (["DISCS", "--batch-size", "3"], 2, "a batch of 3 images cannot be shared equally by 2 processes"),
        (["DISCS", "--batch-size", "2", "--learning-rate", "1"], 1, "training stopped because"),
    ],
)
def test_an_error_ends_all_processes_with_one_message(train_py, discs, tmp_path, arguments, code, message):
    arguments = [str(discs) if argument == "DISCS" else argument for argument in arguments]
    tiny = ("--epochs", "50", "--iterations", "20", "--patch-size", "32", "32", "--device", "cpu", "--output", "run")
    done = train_py.run(*arguments, *tiny, "--devices", "2", cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_one_message(train_py, discs, tmp_path):
    tiny = ("--epochs", "500", "--iterations", "20", "--batch-size", "2", "--patch-size", "32", "32", "--device", "cpu")
    process = train_py.start(discs, *tiny, "--devices", "2", "--output", "run", cwd=tmp_path)
    end = time.monotonic() + 600
    while not list(tmp_path.rglob("checkpoint_latest.pth")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    stderr = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert stderr.count("\n") == 1
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
