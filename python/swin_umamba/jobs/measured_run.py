"""A process that trains one system: ``swin-umamba train --resume``, measured. `run_process` starts it."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ..commands import train
from ..commands.parsing import OneLineParser
from ..common.errors import RunError, UserError
from ..common.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_WRONG_INPUT
from ..common.processors import set_worker_defaults
from ..runs.folder import RunFolder, enter_environment
from ..runs.settings import read_settings


def main(argv: Sequence[str]) -> int:
    """Go on with the run in a folder until it is finished.

    Parameters
    ----------
    argv
        The run folder, and the device.

    Returns
    -------
    int
        An exit code of `swin_umamba.commands.parsing`; an error is told in the last line of stderr.
    """
    run, device = argv
    # The command that compares says it, where the user stops it.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(EXIT_INTERRUPTED))
    _end_with_parent()
    try:
        folder = RunFolder(Path(run))
        settings = read_settings(folder.settings)
        set_worker_defaults()
        enter_environment(folder.raw if settings.dataset is None else Path(settings.dataset).parent, folder)
        from .measured_trainer import measure_trainers

        measure_trainers(folder.root)
        parser = OneLineParser(prog="swin-umamba train")
        train.add_arguments(parser)
        train.run(parser.parse_args(["--resume", "--output", run, "--device", device]))
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
