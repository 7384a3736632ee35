"""``--devices N``: N processes on this machine, one for each device."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import TypeVar

from ..common.errors import RunError
from ..common.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, execute
from ..common.processes import FAILURES
from ..common.processors import available_processors
from ..common.time_limit import ignore_warning

T = TypeVar("T")

ADDRESS = "127.0.0.1"
GRACE_SECONDS = 30
"""How long processes may take to end by themselves after one has failed, or after Ctrl-C."""


def launch(run: Callable[[T], None], request: T, prog: str, count: int) -> None:
    """Run a command in ``count`` processes, as ``torchrun --nproc-per-node`` would, and wait for them.

    Where one fails the others are ended. The process that failed has told the user why.

    Parameters
    ----------
    run
        What to run, importable by name.
    request
        What it takes; it is pickled.
    prog
        The name that starts a message to the user.
    count
        How many processes.

    Raises
    ------
    SystemExit
        With the exit code of the process that failed.
    RunError
        A process was killed.
    """
    from torch import distributed, multiprocessing

    # The processors are shared; torch would start as many threads in every process as there are.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_processors() // count)))
    # Kept here so that no process depends on another for it, at a port that is free.
    store = distributed.TCPStore(ADDRESS, 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.start_processes(
        _run_as_process, (run, request, prog, count, store.port), nprocs=count, join=False
    )
    try:
        killed_by = _wait_for_failure(context.processes)
        # Asked before the others find that they have lost a process.
        may_report = killed_by is not None and store.add(FAILURES, 1) == 1
        while not context.join(grace_period=GRACE_SECONDS):
            pass
    except multiprocessing.ProcessExitedException as error:
        if not may_report:
            raise SystemExit(max(error.exit_code, EXIT_FAILED)) from None
        raise RunError(
            f"one of the {count} processes was killed by {killed_by} (out of memory?); go on with the same command and "
            f"--resume"
        ) from None
    except KeyboardInterrupt:
        # A terminal interrupts all processes, `kill` only this one.
        for seconds in (GRACE_SECONDS / 10, GRACE_SECONDS):
            _wait(context.processes, seconds)
            for process in context.processes:
                if process.is_alive():
                    os.kill(process.pid, signal.SIGINT)
        _wait(context.processes, GRACE_SECONDS)
        raise


def _wait_for_failure(processes: Sequence[BaseProcess]) -> str | None:
    """Wait until all have ended, or one has failed; return the name of the signal if it was killed by one."""
    running = list(processes)
    while running and not any(process.exitcode for process in processes):
        connection.wait([process.sentinel for process in running])
        running = [process for process in running if process.exitcode is None]
    codes = [process.exitcode for process in processes if process.exitcode is not None]
    return next((signal.Signals(-code).name for code in codes if code < 0), None)


def _wait(processes: Sequence[BaseProcess], seconds: float) -> None:
    end = time.monotonic() + seconds
    for process in processes:
        process.join(max(0, end - time.monotonic()))


def _run_as_process(rank: int, run: Callable[[T], None], request: T, prog: str, count: int, port: int) -> None:
    ignore_warning()
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in ranks.items()})
    # As torchrun says it: the store of MASTER_ADDR:MASTER_PORT is there already.
    os.environ.update(MASTER_ADDR=ADDRESS, TORCHELASTIC_USE_AGENT_STORE=str(True))

    def run_quietly_interrupted(request: T) -> None:
        try:
            run(request)
        except KeyboardInterrupt:  # the parent process says it
            raise SystemExit(EXIT_INTERRUPTED) from None

    raise SystemExit(execute(run_quietly_interrupted, request, prog))
