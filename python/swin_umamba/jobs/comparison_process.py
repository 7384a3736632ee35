"""Training of a system in a process of its own: its memory and its crash are no other's."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ..common.exit_codes import EXIT_INTERRUPTED, EXIT_OK

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
    command = [sys.executable, "-m", f"{__package__}.measured_run", str(run), device]
    # A file, not a pipe: workers of a process that was killed may hold the end of a pipe open.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)
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
    # A terminal interrupts both processes, `kill` only this one.
    for seconds, tell in zip(GRACE_SECONDS, (process.stdin.close, process.terminate, process.kill), strict=True):
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            tell()
    process.wait()
