"""Pretrain the encoder as an image classifier: check everything, then train."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.device import choose_device_of_process
from ..common.errors import UserError
from ..common.failures import explain_failures
from ..common.processes import Processes, Ranks, check_batch_size, one_message
from ..common.processors import available_processors, set_worker_defaults
from ..common.summary import note
from ..common.typed_json import load_json
from ..pretraining.settings import PretrainingSettings, choose_settings
from ..runs.folder import OTHER_OUTPUT
from ..runs.kind import want_run_of

if TYPE_CHECKING:
    import torch

    from ..common.console import PlainConsole
    from ..pretraining.run import PretrainingFolder


@dataclass(frozen=True)
class PretrainingRequest:
    """What the user asks of ``swin-umamba pretrain``, whose help says what each field is.

    ``said`` has the fields of `PretrainingSettings` that the user gave a value, ``data`` as the user wrote it.
    """

    said: Mapping[str, Any]
    output: Path | None = None
    resume: bool = False
    device: str = "auto"
    workers: int | None = None


def pretrain(request: PretrainingRequest) -> None:
    """Check everything, then train. A finished run of the same settings is shown.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        The run failed.
    """
    ranks = Ranks.from_environment()
    set_worker_defaults(ranks.local_world_size)
    processes = Processes(ranks)
    with contextlib.ExitStack() as locks:
        one_message(processes, lambda: _run(request, processes, locks))


def _run(request: PretrainingRequest, processes: Processes, locks: contextlib.ExitStack) -> None:
    from ..common.console import PlainConsole
    from ..pretraining.run import PretrainingFolder, execute_run

    data = Path(request.said["data"]).expanduser().resolve()
    said = {**request.said, "data": str(data)}
    folder = PretrainingFolder((request.output or Path("results") / f"pretrain-{data.name}").expanduser().resolve())
    console = PlainConsole(soft_wrap=True, quiet=not processes.is_first)
    settings = processes.first_does(lambda: _settle(said, request.resume, folder, processes.world_size, locks, console))
    note(output=folder.root, weights=folder.weights, averaged_weights=folder.averaged_weights)
    if settings is None:
        note(epochs=load_json(folder.metrics)["history"])
        return
    device = choose_device_of_process(request.device, processes.ranks, needs_kernels=True)
    with explain_failures(folder.log, console):
        processes.join(device)
        workers = _default_workers(device, processes.ranks) if request.workers is None else request.workers
        begin = functools.partial(folder.begin, settings.as_json(), locks, resumed=request.resume)
        metrics = execute_run(settings, folder, processes, device, workers, console, begin)
    note(epochs=metrics["history"])
    processes.leave()


def _settle(
    said: Mapping[str, Any],
    resume: bool,
    folder: PretrainingFolder,
    world_size: int,
    locks: contextlib.ExitStack,
    console: PlainConsole,
) -> PretrainingSettings | None:
    """Find out what to do; of a run to resume, lock the results folder until its end; ``None`` where all is done."""
    data = Path(said["data"])
    if folder.root == data or data in folder.root.parents:
        raise UserError(f"--output {folder.root} lies inside the folder of images, which is never written to")
    want_run_of("pretrain", folder.root)
    stored = None
    if resume:
        folder.check_former()
        locks.enter_context(folder.lock())
        stored = PretrainingSettings.read(folder.settings)
    elif folder.settings.exists():
        _show_former(said, folder, console)
        return None
    else:
        folder.check_empty()
        folder.check_writable()
    settings = choose_settings(said, stored)
    check_batch_size(settings.batch_size, world_size)
    return settings


def _show_former(said: Mapping[str, Any], folder: PretrainingFolder, console: PlainConsole) -> None:
    """Show a finished run of the same settings; raise `UserError` for any other."""
    from ..pretraining.run import show_finished

    if not folder.is_finished:
        with folder.lock():
            raise UserError(f"{folder.root} holds a former run; go on with it by --resume, or {OTHER_OUTPUT}")
    stored, settings = PretrainingSettings.read(folder.settings), choose_settings(said, None)
    try:
        stored.check_unchanged(vars(settings), OTHER_OUTPUT)
    except UserError as error:
        raise UserError(f"{folder.root} holds a former run: {error}") from error
    show_finished(folder, console)


def _default_workers(device: torch.device, ranks: Ranks) -> int:
    return 0 if device.type == "cpu" else min(8, available_processors() // ranks.local_world_size)
