"""Training of a system in a process of its own: its memory and its crash are no other's.

`run_process` starts one, which runs `main` and goes when its parent goes.
"""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from ..common.errors import RunError, UserError
from ..common.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_WRONG_INPUT
from ..common.time_limit import ignore_warning
from ..comparison.measuring import Measuring
from ..runs.folder import RunFolder
from ..runs.settings import Settings
from .training import TrainingRequest, train

GRACE_SECONDS = (5, 30, 10)
"""How long an interrupted process may take to end: by itself, told to, and terminated."""


def run_process(run: Path, device: str) -> str | None:
    """Train, predict and score in a run folder, after what a former process has finished there.

    Its progress goes to the standard output of this process.

    Returns
    -------
    str or None
        Why it failed, in one line; ``None`` if it did not.

    Raises
    ------
    KeyboardInterrupt
        Either process was interrupted; the other one has ended too.
    """
    command = [sys.executable, "-m", __name__, str(run), device]
    # A file, not a pipe: workers of a process that was killed may hold the end of a pipe open.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)
        assert process.stdin is not None
        try:
            code = process.wait()
        except KeyboardInterrupt:
            _end(process)
            raise
        finally:
            process.stdin.close()
        if code == EXIT_OK:
            return None
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        errors.seek(0)
        lines = errors.read().decode(errors="replace").split("\n")
    if code < 0:
        return f"killed by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"ended with exit code {code}")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    # A terminal interrupts both processes, `kill` only this one.
    for seconds, tell in zip(GRACE_SECONDS, (process.stdin.close, process.terminate, process.kill), strict=True):
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            tell()
    process.wait()


def main(argv: Sequence[str]) -> int:
    """Go on with the run in a folder until it is finished, and measure its training.

    Parameters
    ----------
    argv
        The run folder, and the device.

    Returns
    -------
    int
        An exit code of `swin_umamba.common.exit_codes`; an error is told in the last line of stderr.
    """
    run, device = Path(argv[0]), argv[1]
    # The command that compares says it, where the user stops it.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(EXIT_INTERRUPTED))
    ignore_warning()
    _end_with_parent()
    try:
        Settings.read(RunFolder(run).settings)
        train(TrainingRequest(output=run, resume=True, device=device), [Measuring(run)])
    except (UserError, RunError) as error:
        print(error, file=sys.stderr)
        return EXIT_WRONG_INPUT if isinstance(error, UserError) else EXIT_FAILED
    return EXIT_OK


def _end_with_parent() -> None:
    """Stop this process as soon as the other end of its standard input is closed, as it is when the parent dies."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        _thread.interrupt_main()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
