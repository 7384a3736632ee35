"""Running commands in processes that have the large libraries already, so that a kill meets the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

SLOW_IMPORTS = ["torch", "scipy.ndimage", "skimage.io", "SimpleITK", "matplotlib.pyplot", "torch._dynamo", "monai"]


def main(words: Sequence[str], log: Path) -> None:
    """Run ``swin-umamba`` in a process group of its own, its output in a file."""
    os.setsid()
    os.environ["nnUNet_def_n_proc"] = "1"  # noqa: SIM112 - nnU-Net's name
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch
    from swin_umamba.commands import cli

    torch.set_num_threads(1)
    code = cli.main(words)
    sys.stdout.flush()
    os._exit(code)


def start(words: Sequence[object], log: Path) -> ForkServerProcess:
    """Start a command."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SLOW_IMPORTS)
    process = context.Process(target=main, args=(list(map(str, words)), log))
    process.start()
    return process


def kill(process: ForkServerProcess, seconds: float) -> bool:
    """Kill a command and what it has started when it has run that long; return whether it was still there."""
    process.join(seconds)
    if process.exitcode is not None:
        return False
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # before it has its group
        process.kill()
    process.join()
    return True


def run(words: Sequence[object], log: Path, limit: float = 600) -> tuple[int, float]:
    """Run a command to its end; its exit code and seconds."""
    begin = time.monotonic()
    process = start(words, log)
    assert not kill(process, limit), f"it takes more than {limit} s: {log.read_text()[-2000:]}"
    return process.exitcode, time.monotonic() - begin
