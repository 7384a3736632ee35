"""A run ends in time: the form of a limit, the clock, the signal of a scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from swin_umamba.common.errors import OutOfTime
from swin_umamba.common.exit_codes import execute
from swin_umamba.common.setting_kinds import Duration
from swin_umamba.common.time_limit import end_in_time
from swin_umamba.trainers.observer import EpochsInTime


@pytest.mark.parametrize(
    ("text", "seconds"), [("0:00:01", 1), ("3:50:00", 13_800), ("100:00:00", 360_000), ("2-03:04:05", 183_845)]
)
def test_forms(text, seconds):
    assert Duration().parse(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "3:50", "0:61:00", "0:00:61", "-1:00:00", "0:00:00", "1h", "1:00:00.5"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="must be"):
        Duration().parse(text)


def sleep_long(_=None):
    with end_in_time(0.2):
        time.sleep(30)


def test_the_clock_ends_it_with_a_code_of_its_own(capsys):
    begun = time.monotonic()
    assert execute(sleep_long, None, "command") == 75
    assert time.monotonic() - begun < 20
    assert capsys.readouterr().err == "command: out of time; what is finished is on disk, so queue it again\n"


def test_what_ends_before_is_not_disturbed():
    with end_in_time(0.2):
        pass
    time.sleep(0.4)
    with pytest.raises(OutOfTime), end_in_time(0.1):
        time.sleep(5)


def test_the_signal_of_a_scheduler():
    script = (
        "import os, signal, sys, time\n"
        "from swin_umamba.common.exit_codes import execute\n"
        "from swin_umamba.common.time_limit import end_in_time\n"
        "def run(_):\n"
        "    with end_in_time(None):\n"
        "        child = os.fork()\n"
        "        if child == 0:\n"
        "            os.kill(os.getpid(), signal.SIGUSR1)\n"
        "            os._exit(7)\n"
        "        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
        "        print('running', flush=True)\n"
        "        time.sleep(60)\n"
        "sys.exit(execute(run, None, 'command'))\n"
    )
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", script], text=True, **streams)
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGUSR1)
    assert process.communicate(timeout=60)[1].startswith("command: out of time")
    assert process.returncode == 75


def test_a_handler_of_somebody_else_stays():
    got = []
    former = signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
    try:
        with end_in_time(None):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert got == [1]


def test_an_error_that_python_swallowed_is_raised_again(monkeypatch):
    class Bad:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)

    monkeypatch.setattr(sys, "unraisablehook", lambda lost: None)
    with end_in_time(None) as limit:
        Bad()
        with pytest.raises(OutOfTime):
            limit.want(0)


def test_in_another_thread_it_is_asked_for():
    failed = []

    def run():
        with end_in_time(0.01) as limit:
            time.sleep(0.05)
            try:
                limit.want(0)
            except OutOfTime:
                failed.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failed == [1]


def test_no_epoch_begins_for_which_there_is_no_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with end_in_time(100.0) as limit:
        observer = EpochsInTime(limit)
        for seconds in (30.0, 40.0):
            observer.step_begins()
            now[0] += seconds
            observer.epoch_done(0, 0.0, 0.0, 0.0)
        # 30 seconds are left.
        with pytest.raises(OutOfTime):
            observer.step_begins()
