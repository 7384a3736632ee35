"""Pretrain the encoder as an image classifier: check everything, then train."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.device import choose_device_of_process
from ..common.errors import UserError
from ..common.failures import explain_failures
from ..common.processes import Place, Processes, check_batch_size, one_message
from ..common.processors import available_processors, set_worker_defaults
from ..pretraining.settings import PretrainingSettings, choose_settings, read_settings
from ..runs.folder import OTHER_OUTPUT
from ..runs.kind import want_run_of

if TYPE_CHECKING:
    import torch

    from ..pretraining.run import PretrainingFolder


OPTIONS = (
    *("image_size", "epochs", "warmup_epochs", "batch_size", "learning_rate", "weight_decay", "label_smoothing"),
    *("drop_path", "ema_decay", "augmentation", "validation_fraction", "embed_dim", "seed"),
)


def run(args: argparse.Namespace) -> None:
    """Check everything, then train.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        The run failed.
    """
    place = Place.from_environment()
    set_worker_defaults(place.local_count)
    processes = Processes(place)
    with contextlib.ExitStack() as locks:
        one_message(processes, lambda: _run(args, processes, locks))


def _run(args: argparse.Namespace, processes: Processes, locks: contextlib.ExitStack) -> None:
    from rich.console import Console

    from ..pretraining.run import PretrainingFolder, execute_run

    data = args.data.expanduser().resolve()
    folder = PretrainingFolder((args.output or Path("results") / f"pretrain-{data.name}").expanduser().resolve())
    device = choose_device_of_process(args.device, processes.place, needs_kernels=True)
    settings = processes.first_does(lambda: _settle(args, data, folder, processes.count, locks))
    console = Console(soft_wrap=True, highlight=False, quiet=not processes.is_first)
    with explain_failures(folder.log, console):
        processes.join(device)
        workers = _workers(args, device, processes.place)
        begin = functools.partial(folder.begin, dataclasses.asdict(settings), locks, resumed=args.resume)
        execute_run(settings, folder, processes, device, workers, console, begin)
    processes.leave()


def _settle(
    args: argparse.Namespace, data: Path, folder: PretrainingFolder, processes: int, locks: contextlib.ExitStack
) -> PretrainingSettings:
    """Find out what to do; of a run to resume, lock the results folder until its end."""
    if folder.root == data or data in folder.root.parents:
        raise UserError(f"--output {folder.root} lies inside the folder of images, which is never written to")
    want_run_of("pretrain", folder.root)
    stored = None
    if args.resume:
        folder.check_former()
        locks.enter_context(folder.lock())
        stored = read_settings(folder.settings)
    elif folder.settings.exists():
        with folder.lock():
            raise UserError(f"{folder.root} holds a former run; go on with it by --resume, or {OTHER_OUTPUT}")
    else:
        folder.check_empty()
        folder.check_writable()
    given = {name: getattr(args, name) for name in (*OPTIONS, "mixing")}
    depths = None if args.depths is None else tuple(args.depths)
    settings = choose_settings({**given, "depths": depths, "data": str(data)}, stored)
    check_batch_size(settings.batch_size, processes)
    return settings


def _workers(args: argparse.Namespace, device: torch.device, place: Place) -> int:
    if args.workers is not None:
        return args.workers
    return 0 if device.type == "cpu" else min(8, available_processors() // place.local_count)
