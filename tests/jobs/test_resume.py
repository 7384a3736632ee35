"""Killed at any moment, a run goes on from its last finished epoch as if nothing had happened."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from swin_umamba.commands.train import main
from swin_umamba.common.errors import UserError
from swin_umamba.common.files import link_atomically, lock_folder, replace_atomically, write_json
from swin_umamba.runs.folder import RunFolder


def _wait_for(condition, process, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"the run ended before it could be killed: {process.communicate()[1]}"
        assert time.monotonic() < end, "the run did not get that far in time"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_run_whose_time_is_up_asks_for_more_and_goes_on(train_py, discs, finished, tmp_path):
    arguments = (discs, *train_py.tiny, "--output", "run")
    folder = tmp_path / "run"
    process = train_py.start(*arguments, cwd=tmp_path)
    try:
        _wait_for(lambda: list(folder.rglob("checkpoint_latest.pth")), process)
        process.send_signal(signal.SIGUSR1)
        stdout, stderr = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 75
    assert stderr.endswith("out of time; what is finished is on disk, so queue it again\n")
    assert "stopped; go on with the same command and --resume" in stdout
    assert not (folder / "metrics.json").exists()

    resumed = train_py.run(*arguments, "--resume", "--time-limit", "9:00:00", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    once, twice = (json.loads((run / "metrics.json").read_text()) for run in (finished[0], folder))
    assert twice["training"] == once["training"]


def test_a_killed_run_goes_on_and_ends_like_an_uninterrupted_one(train_py, discs, finished, tmp_path, capsys):
    arguments = (discs, *train_py.tiny, "--output", "run")
    folder = tmp_path / "run"
    process = train_py.start(*arguments, cwd=tmp_path)
    try:
        _wait_for(lambda: list(folder.rglob("checkpoint_latest.pth")), process)
        # Stopped so that it is still there when another process wants its folder.
        process.send_signal(signal.SIGSTOP)
        for resume in ((), ("--resume",)):
            assert main([str(discs), *train_py.tiny, "--output", str(folder), *resume]) == 2
            error = capsys.readouterr().err
            assert f"another process is at work in {folder}; wait for it, or choose another folder" in error
            assert "--resume" not in error
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (folder / "metrics.json").exists()

    resumed = train_py.run(*arguments, "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after epoch" in resumed.stdout
    assert "epoch 1/3" not in resumed.stdout

    once, twice = (json.loads((run / "metrics.json").read_text()) for run in (finished[0], folder))
    assert twice["training"] == once["training"]
    assert twice["held_out"] == once["held_out"]
    weights = [
        torch.load(run / "checkpoint.pth", weights_only=True)["network_weights"] for run in (finished[0], folder)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_a_run_killed_while_preprocessing_goes_on(train_py, discs, tmp_path):
    arguments = (discs, *train_py.tiny, "--output", "run")
    process = train_py.start(*arguments, cwd=tmp_path)
    try:
        _wait_for(lambda: list((tmp_path / "run").rglob("nnUNetPlans.json")), process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    resumed = train_py.run(*arguments, "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 1/3" in resumed.stdout


def test_resuming_a_finished_run_trains_nothing_and_scores_again(train_py, finished, discs):
    folder, _ = finished
    before = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").unlink()
    done = train_py.run(discs, "--resume", "--output", folder, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    after = json.loads((folder / "metrics.json").read_text())
    assert after["training"] == before["training"]
    assert after["held_out"] == before["held_out"]


def test_other_weights_than_those_of_the_papers_epoch_do_not_predict(train_py, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder, symlinks=True)
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "checkpoint_epoch": 1}))
    (folder / "metrics.json").unlink()
    done = train_py.run("--resume", "--output", folder, cwd=tmp_path)
    assert done.returncode == 1
    assert "checkpoint_epoch_1.pth is missing, whose weights are to predict the held-out cases" in done.stderr
    assert not (folder / "metrics.json").exists()


def test_a_process_killed_while_writing_leaves_the_former_file(tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"whole")
    script = (
        "import os, signal, sys\n"
        "from swin_umamba.common.files import replace_atomically\n"
        "with replace_atomically(sys.argv[1]) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"whole"
    with replace_atomically(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["checkpoint.pth"]


def test_a_first_file_that_a_kill_left_half_does_not_fill_a_new_folder(tmp_path):
    (tmp_path / "settings.json.partial").write_text("{")
    RunFolder(tmp_path).check_empty()
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(UserError, match="is not empty"):
        RunFolder(tmp_path).check_empty()


def test_an_error_while_writing_leaves_the_former_file(tmp_path):
    write_json(tmp_path / "metrics.json", {"dsc": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"dsc": float("nan")})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"dsc": 0.5}


def test_a_link_keeps_its_content_when_the_other_name_is_written_anew(tmp_path):
    latest, best = tmp_path / "latest", tmp_path / "best"
    for content in (b"first", b"second"):
        with replace_atomically(latest) as file:
            file.write(content)
        if content == b"first":
            link_atomically(latest, best)
    assert (latest.read_bytes(), best.read_bytes()) == (b"second", b"first")


def test_a_locked_folder_is_made_and_free_again_afterwards(tmp_path):
    folder = tmp_path / "results" / "run"
    message = f"another process is at work in {folder}; wait for it, or choose another"
    with lock_folder(folder, "wait"), pytest.raises(UserError, match=message), lock_folder(folder, "choose another"):
        pass
    with lock_folder(folder, "wait"):
        assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    with (
        pytest.raises(UserError, match=r"cannot write to the folder .*run: File exists"),
        lock_folder(tmp_path / "run", "wait"),
    ):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_does_without(tmp_path, monkeypatch, code):
    with lock_folder(tmp_path, "wait"):
        pass  # leaves the file of its lock, which must keep nobody out

    def flock(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in range(2):
        with lock_folder(tmp_path, "wait"):
            (tmp_path / "result").write_text("written")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "result"]


def test_another_error_of_the_lock_is_told(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    message = "cannot write to the folder .*: Input/output error; choose another"
    with pytest.raises(UserError, match=message), lock_folder(tmp_path, "choose another"):
        pass


def test_a_lock_goes_with_a_killed_process_although_its_worker_lives_on(tmp_path):
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from swin_umamba.common.files import lock_folder\n"
        "with lock_folder(Path(sys.argv[1]), 'wait'):\n"
        "    if os.fork() == 0:\n"
        "        print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    try:
        with pytest.raises(UserError, match="another process"), lock_folder(tmp_path, "wait"):
            pass
        process.kill()
        process.wait()
        with lock_folder(tmp_path, "wait"):
            os.kill(worker, 0)
    finally:
        process.kill()
        os.kill(worker, signal.SIGKILL)


def test_a_file_system_without_hard_links_gets_a_copy(tmp_path, monkeypatch):
    def no_links(*args):
        raise OSError("Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "latest").write_bytes(b"content")
    link_atomically(tmp_path / "latest", tmp_path / "best")
    assert (tmp_path / "best").read_bytes() == b"content"
