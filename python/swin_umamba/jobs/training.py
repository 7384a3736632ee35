"""Train on a data set, predict its held-out cases, score and draw them."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.encoder_file import absolute_path, check_pretrained_file, find_pretrained_file
from ..common.console import capture_output
from ..common.device import check_device, choose_device_of_process
from ..common.errors import UserError
from ..common.failures import explain_failures
from ..common.processes import Place, Processes, check_batch_size, one_message
from ..common.processors import set_worker_defaults
from ..datasets import RawDataset, open_raw_dataset, prepare_sample
from ..datasets.find_dataset import find_dataset
from ..datasets.sample import SAMPLE_NAME
from ..jobs.check_inputs import open_checked_dataset, try_pretrained
from ..jobs.launch import launch
from ..paper.protocol import find_protocol
from ..paper.systems import SYSTEMS
from ..runs.folder import OTHER_OUTPUT, RunFolder, enter_environment
from ..runs.kind import want_run_of
from ..runs.last_checkpoint import secure_last_checkpoint
from ..runs.record import RunRecord, read_run
from ..runs.settings import (
    PRETRAINABLE,
    SAMPLE_SETTINGS,
    Settings,
    check_scratch,
    check_unchanged,
    choose_settings,
    default_settings,
    read_settings,
)

if TYPE_CHECKING:
    import torch
    from rich.console import Console


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
    if args.devices > 1:
        if place.count > 1:
            raise UserError(f"--devices {args.devices}: the processes have been started already; leave it out")
        set_worker_defaults(args.devices)
        _check_devices(args.device, args.devices)
        launch(run, argparse.Namespace(**{**vars(args), "devices": 1}), args.prog, args.devices)
        return
    set_worker_defaults(place.local_count)
    processes = Processes(place)
    with contextlib.ExitStack() as locks:
        one_message(processes, lambda: _run(args, processes, locks))


@dataclasses.dataclass(frozen=True)
class _Job:
    """What the first process has found out for all.

    Attributes
    ----------
    settings, folder
        Of the run.
    is_done : bool
        The same command has run before, and there is nothing to do.
    is_moved : bool
        The data set lies elsewhere than the run has been told before.
    """

    settings: Settings
    folder: RunFolder
    is_done: bool = False
    is_moved: bool = False

    @property
    def raw(self) -> Path:
        """What stands for ``nnUNet_raw``."""
        return self.folder.raw if self.settings.dataset is None else Path(self.settings.dataset).parent


def _run(args: argparse.Namespace, processes: Processes, locks: contextlib.ExitStack) -> None:
    job = processes.first_does(lambda: _settle(args, locks))
    if job.is_done:
        return
    needs_kernels = SYSTEMS[job.settings.model].needs_kernels
    device = choose_device_of_process(args.device, processes.place, needs_kernels=needs_kernels)
    dataset = processes.first_does(lambda: _check(job, args.resume, processes.count, locks))
    enter_environment(job.raw, job.folder)
    log = job.folder.log
    with capture_output(log if processes.is_first else None) as console, explain_failures(log, console):
        console.quiet = not processes.is_first
        processes.join(device)
        _execute(job, dataset, device, console, processes)


def _settle(args: argparse.Namespace, locks: contextlib.ExitStack) -> _Job:
    """Find out what to do; of a run to resume, lock the results folder until its end."""
    model = args.model or SAMPLE_SETTINGS.model
    dataset_folder = None if args.dataset is None else str(find_dataset(args.dataset))
    folder = RunFolder(
        (args.output or _default_output(dataset_folder, model, args.no_pretrained)).expanduser().resolve()
    )
    want_run_of("train", folder.root)
    if args.resume:
        folder.check_former()
        locks.enter_context(folder.lock())
        return _resumed_job(_said(args, dataset_folder), folder)
    if folder.settings.exists():
        return _former_job(_said(args, dataset_folder), dataset_folder, model, folder)
    if args.pretrained is not None:
        check_pretrained_file(args.pretrained, "--pretrained")
    settings = _new_settings(_said(args, dataset_folder), dataset_folder, model)
    folder.check_empty()
    folder.check_writable()
    return _Job(settings, folder)


def _check(job: _Job, resume: bool, processes: int, locks: contextlib.ExitStack) -> RawDataset | None:
    """Check the data set, and lock the results folder of a new run; ``None`` for a sample that is to be made."""
    settings, folder = job.settings, job.folder
    enter_environment(job.raw, folder)
    if settings.batch_size is not None:
        check_batch_size(settings.batch_size, processes)
    dataset = open_checked_dataset(settings, folder.root)
    if job.is_moved:
        from ..jobs.planning import check_same_cases

        check_same_cases(dataset, folder)
    starts = not resume or secure_last_checkpoint(folder.results, settings.epochs) is None
    if starts and settings.pretrained is not None:
        try_pretrained(settings, dataset)
    folder.begin(settings.as_json(), locks, resumed=resume)
    return dataset


def _said(args: argparse.Namespace, dataset_folder: str | None) -> dict[str, Any]:
    """The settings that the user gave a value."""
    apart = ("dataset", "pretrained", "patch_size")
    fields = [field.name for field in dataclasses.fields(Settings) if field.name not in apart]
    said = {name: getattr(args, name) for name in fields if getattr(args, name) is not None}
    if dataset_folder is not None:
        said["dataset"] = dataset_folder
    if args.patch_size is not None:
        said["patch_size"] = tuple(args.patch_size)
    if args.no_pretrained:
        said["pretrained"] = None
    elif args.pretrained is not None:
        # Of a run that has started from it, the file may be gone.
        said["pretrained"] = str(absolute_path(args.pretrained))
    return said


def _new_settings(
    said: dict[str, Any], dataset_folder: str | None, model: str, former_weights: str | None = None
) -> Settings:
    """Settings of a run as the command says them; ``former_weights`` are those that a finished run has started from."""
    if "pretrained" in said and model not in PRETRAINABLE:
        raise UserError(f"--pretrained and --no-pretrained: {model} has no VMamba encoder; leave them out")
    is_papers = dataset_folder is not None and find_protocol(Path(dataset_folder).name) is not None
    if "pretrained" not in said and is_papers and model in PRETRAINABLE:
        said = {**said, "pretrained": str(find_pretrained_file("--no-pretrained", former_weights))}
    if said.get("pretrained") is None:
        check_scratch(said)
    return choose_settings(said, default_settings(dataset_folder, model, said.get("pretrained")))


def _resumed_job(said: dict[str, Any], folder: RunFolder) -> _Job:
    """Go on with a run; raise `UserError` if the user said other settings, or its data set is gone."""
    stored = read_settings(folder.settings)
    settings, place = stored, said.get("dataset")
    if place is not None and stored.dataset is not None and Path(place).name == Path(stored.dataset).name:
        settings = dataclasses.replace(stored, dataset=place)
    check_unchanged(said, settings, "leave them out, or start a new run with another --output")
    if settings.dataset is not None and not Path(settings.dataset).is_dir():
        raise UserError(
            f"the data set of this run is no longer in {settings.dataset}; if it was moved, give its new folder: "
            f"swin-umamba train NEW/{Path(settings.dataset).name} --resume --output {folder.root}"
        )
    return _Job(settings, folder, is_moved=settings != stored)


def _former_job(said: dict[str, Any], dataset_folder: str | None, model: str, folder: RunFolder) -> _Job:
    """Show a finished run of the same settings; raise `UserError` for any other."""
    if not folder.is_finished:
        with folder.lock():
            raise UserError(
                f"{folder.root} holds a former run that has not ended; go on with it by --resume, or {OTHER_OUTPUT}"
            )
    stored = read_settings(folder.settings)
    settings = _new_settings(said, dataset_folder, model, stored.pretrained)
    try:
        check_unchanged(vars(settings), stored, OTHER_OUTPUT)
    except UserError as error:
        raise UserError(f"{folder.root} holds a former run: {error}") from error
    record = read_run(folder.root).record
    job = _Job(settings, folder, is_done=True)
    enter_environment(job.raw, folder)
    with capture_output(None) as console:
        from ..jobs.results import show_results

        dataset = open_raw_dataset(settings.dataset or folder.raw / SAMPLE_NAME)
        _check_classes(dataset, record, folder)
        console.print("this run has been done before; nothing was trained")
        show_results(console, dataset, folder, record)
    return job


def _check_classes(dataset: RawDataset, record: RunRecord, folder: RunFolder) -> None:
    scored = record.held_out.classes if record.held_out else list(dataset.classes)
    if set(scored) != set(dataset.classes):
        raise UserError(
            f"{folder.metrics} has scores of the classes {', '.join(scored)}, but {dataset.folder} has now "
            f"{', '.join(dataset.classes)}; {OTHER_OUTPUT}"
        )


def _execute(
    job: _Job, dataset: RawDataset | None, device: torch.device, console: Console, processes: Processes
) -> None:
    if dataset is None:
        console.print("[bold]preparing the sample data set[/bold] (slices of MNI ICBM152, from nilearn)")
        dataset = processes.first_does(lambda: open_raw_dataset(prepare_sample(job.folder.raw)))
    # Imported here: nnU-Net takes seconds to import, and reads its environment when it is imported.
    from ..jobs.training_pipeline import execute_run

    execute_run(dataset, job.settings, job.folder, device, console, processes)


def _default_output(dataset_folder: str | None, model: str, no_pretrained: bool) -> Path:
    name = SAMPLE_NAME if dataset_folder is None else Path(dataset_folder).name
    return Path("results") / f"{name}-{model}{'-scratch' if no_pretrained else ''}"


def _check_devices(name: str, count: int) -> None:
    """Raise `UserError` if there are not that many devices, before as many processes are started."""
    import torch

    if ":" in name:
        raise UserError(f"--device {name}: with --devices {count} say --device {name.partition(':')[0]}")
    # Which model it is, and so whether it needs the kernels, the processes find out.
    device = check_device(name, needs_kernels=False)
    if device.type == "cuda" and torch.cuda.device_count() < count:
        raise UserError(f"--devices {count}: there are {torch.cuda.device_count()} GPUs; use fewer, or --device cpu")
