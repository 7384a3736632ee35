"""Train on a data set, predict its held-out cases, score and draw them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.encoder_file import absolute_path, check_pretrained_file, find_pretrained_file
from ..common.console import capture_output
from ..common.device import check_device, choose_device_of_process
from ..common.errors import UserError
from ..common.failures import explain_failures
from ..common.processes import Processes, Ranks, check_batch_size, one_message
from ..common.processors import set_worker_defaults
from ..common.summary import note
from ..common.time_limit import end_in_time
from ..datasets import RawDataset, open_raw_dataset, prepare_sample
from ..datasets.find_dataset import find_dataset
from ..datasets.group_folds import absolute_table
from ..datasets.sample import SAMPLE_NAMES
from ..paper.protocol import find_protocol
from ..paper.systems import SYSTEMS
from ..runs.folder import OTHER_OUTPUT, RunFolder, enter_environment
from ..runs.kind import want_run_of
from ..runs.last_checkpoint import secure_last_checkpoint
from ..runs.record import RunRecord, read_run
from ..runs.settings import PRETRAINABLE, SAMPLE_SETTINGS, Settings, check_scratch, choose_settings, default_settings
from ..trainers.observer import EpochsInTime
from .check_inputs import open_checked_dataset, try_pretrained
from .launch import launch

if TYPE_CHECKING:
    import torch

    from ..common.console import PlainConsole
    from ..trainers.observer import Observer


DEFAULT_RESULTS = Path("results")
"""Holds the results folders of runs for which none was said."""


@dataclasses.dataclass(frozen=True)
class TrainingRequest:
    """What the user asks of ``swin-umamba train``, whose help says what each field is.

    ``said`` has the fields of `Settings` that the user gave a value, its paths as the user wrote them. ``prog`` is the
    name by which the processes of ``devices`` speak. ``time_limit`` is in seconds.
    """

    said: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    output: Path | None = None
    resume: bool = False
    device: str = "auto"
    devices: int = 1
    prog: str = "swin-umamba train"
    time_limit: float | None = None


def train(request: TrainingRequest, observers: Sequence[Observer] = ()) -> None:
    """Check everything, then train. A finished run of the same settings is shown.

    Parameters
    ----------
    request
        What to do.
    observers
        Are told how the training goes, beside the console; a training in one process has them.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        The run failed.
    OutOfTime
        The time limit is reached, or SIGUSR1 has come.
    """
    with end_in_time(request.time_limit) as limit:
        _train(dataclasses.replace(request, time_limit=None), [*observers, EpochsInTime(limit)])
    if Ranks.from_environment().rank == 0:
        _sum_up(_folder(request, _locate(request.said)))


def _sum_up(folder: RunFolder) -> None:
    record = read_run(folder.root).record
    scores = record.held_out
    note(
        output=folder.root,
        checkpoint=folder.checkpoint,
        page=folder.report,
        metrics=folder.metrics,
        held_out=scores and {"cases": scores.cases, **scores.by_metric},
        evaluations={rule: evaluation.scores for rule, evaluation in record.evaluations.items()},
        training_seconds=record.seconds.training,
    )


def _train(request: TrainingRequest, observers: Sequence[Observer]) -> None:
    ranks = Ranks.from_environment()
    if request.devices > 1:
        if ranks.world_size > 1:
            raise UserError(f"--devices {request.devices}: the processes have been started already; leave it out")
        set_worker_defaults(request.devices)
        _check_devices(request.device, request.devices)
        launch(train, dataclasses.replace(request, devices=1), request.prog, request.devices)
        return
    set_worker_defaults(ranks.local_world_size)
    processes = Processes(ranks)
    with contextlib.ExitStack() as locks:
        one_message(processes, lambda: _run(request, observers, processes, locks))


@dataclasses.dataclass(frozen=True)
class _Job:
    """What the first process has found out for all.

    Attributes
    ----------
    settings, folder
        Of the run.
    is_done : bool
        The same command has run before, and there is nothing to do.
    """

    settings: Settings
    folder: RunFolder
    is_done: bool = False

    @property
    def raw(self) -> Path:
        """What stands for ``nnUNet_raw``."""
        return self.folder.raw if self.settings.dataset is None else Path(self.settings.dataset).parent


def _run(
    request: TrainingRequest, observers: Sequence[Observer], processes: Processes, locks: contextlib.ExitStack
) -> None:
    job = processes.first_does(lambda: _settle(request, locks))
    if job.is_done:
        return
    needs_kernels = SYSTEMS[job.settings.model].needs_kernels
    device = choose_device_of_process(request.device, processes.ranks, needs_kernels=needs_kernels)
    dataset = processes.first_does(lambda: _check(job, request.resume, processes.world_size, locks))
    enter_environment(job.raw, job.folder)
    log = job.folder.log
    with capture_output(log if processes.is_first else None) as console, explain_failures(log, console):
        console.quiet = not processes.is_first
        processes.join(device)
        _execute(job, dataset, device, console, processes, observers)


def _settle(request: TrainingRequest, locks: contextlib.ExitStack) -> _Job:
    """Find out what to do; of a run to resume, lock the results folder until its end."""
    said = _locate(request.said)
    folder = _folder(request, said)
    want_run_of("train", folder.root)
    if request.resume:
        folder.check_former()
        locks.enter_context(folder.lock())
        return _resumed_job(said, folder)
    if folder.settings.exists():
        return _former_job(said, folder)
    if request.said.get("pretrained") is not None:
        check_pretrained_file(request.said["pretrained"], "--pretrained")
    settings = _new_settings(said)
    folder.check_empty()
    folder.check_writable()
    return _Job(settings, folder)


def _check(job: _Job, resume: bool, world_size: int, locks: contextlib.ExitStack) -> RawDataset | None:
    """Check the data set, and lock the results folder of a new run; ``None`` for a sample that is to be made."""
    settings, folder = job.settings, job.folder
    enter_environment(job.raw, folder)
    if settings.batch_size is not None:
        check_batch_size(settings.batch_size, world_size)
    dataset = open_checked_dataset(settings, folder.root)
    if resume and dataset is not None:
        from .planning import check_same_cases

        check_same_cases(dataset, folder)
    starts = not resume or secure_last_checkpoint(folder.results, settings.epochs) is None
    if starts and settings.pretrained is not None:
        try_pretrained(settings, dataset)
    folder.begin(settings.as_json(), locks, resumed=resume)
    return dataset


def _folder(request: TrainingRequest, said: Mapping[str, Any]) -> RunFolder:
    return RunFolder((request.output or _default_output(said)).expanduser().resolve())


def _locate(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the user said, with the whole paths of the data set and of the weights."""
    located = dict(said)
    if "dataset" in said:
        located["dataset"] = str(find_dataset(said["dataset"]))
    if said.get("group_by") is not None:
        located["group_by"] = absolute_table(said["group_by"])
    if said.get("pretrained") is not None:
        # Of a run that has started from it, the file may be gone.
        located["pretrained"] = str(absolute_path(said["pretrained"]))
    return located


def settings_of(request: TrainingRequest) -> Settings:
    """The settings of a new run as the user says them; raises `UserError` for wrong ones."""
    if request.said.get("pretrained") is not None:
        check_pretrained_file(request.said["pretrained"], "--pretrained")
    return _new_settings(_locate(request.said))


def default_output(request: TrainingRequest) -> Path:
    """The results folder of a run for which none was said."""
    return _default_output(_locate(request.said))


def _new_settings(said: Mapping[str, Any], former_weights: str | None = None) -> Settings:
    """Settings of a run as the command says them; ``former_weights`` are those that a finished run has started from."""
    dataset, model = said.get("dataset"), said.get("model", SAMPLE_SETTINGS.model)
    if "pretrained" in said and model not in PRETRAINABLE:
        raise UserError(f"--pretrained and --no-pretrained: {model} has no VMamba encoder; leave them out")
    is_papers = dataset is not None and find_protocol(Path(dataset).name) is not None
    if "pretrained" not in said and is_papers and model in PRETRAINABLE:
        said = {**said, "pretrained": str(find_pretrained_file("--no-pretrained", former_weights))}
    if said.get("pretrained") is None:
        check_scratch(said)
    return choose_settings(said, default_settings(dataset, model, said.get("pretrained")))


def _resumed_job(said: Mapping[str, Any], folder: RunFolder) -> _Job:
    """Go on with a run; raise `UserError` if the user said other settings, or its data set is gone."""
    stored = Settings.read(folder.settings)
    settings, place = stored, said.get("dataset")
    if place is not None and stored.dataset is not None and Path(place).name == Path(stored.dataset).name:
        settings = dataclasses.replace(stored, dataset=place)
    settings.check_unchanged(said, "leave them out, or start a new run with another --output")
    settings = dataclasses.replace(settings, metrics=said.get("metrics", stored.metrics))
    if settings.dataset is not None and not Path(settings.dataset).is_dir():
        raise UserError(
            f"the data set of this run is no longer in {settings.dataset}; if it was moved, give its new folder: "
            f"swin-umamba train NEW/{Path(settings.dataset).name} --resume --output {folder.root}"
        )
    return _Job(settings, folder)


def _former_job(said: Mapping[str, Any], folder: RunFolder) -> _Job:
    """Show a finished run of the same settings; raise `UserError` for any other."""
    if not folder.is_finished:
        with folder.lock():
            raise UserError(
                f"{folder.root} holds a former run that has not ended; go on with it by --resume, or {OTHER_OUTPUT}"
            )
    stored = Settings.read(folder.settings)
    settings = _new_settings(said, stored.pretrained)
    try:
        stored.check_unchanged(vars(settings), OTHER_OUTPUT)
    except UserError as error:
        raise UserError(f"{folder.root} holds a former run: {error}") from error
    record = read_run(folder.root).record
    job = _Job(settings, folder, is_done=True)
    enter_environment(job.raw, folder)
    with capture_output(None) as console:
        from .results import show_results

        dataset = open_raw_dataset(settings.dataset or folder.raw / SAMPLE_NAMES[settings.sample])
        _check_classes(dataset, record, folder)
        console.print("this run has been done before; nothing was trained")
        shown = dataclasses.replace(settings, metrics=said.get("metrics", stored.metrics))
        if "metrics" in said:
            from ..report.run_page import write_page

            try:
                write_page(folder.root, measures=shown.measures)
            except OSError as error:
                raise UserError(f"cannot write the page {folder.report}: {error.strerror}") from error
        show_results(console, dataset, folder, record, shown.measures)
    return job


def _check_classes(dataset: RawDataset, record: RunRecord, folder: RunFolder) -> None:
    scored = record.held_out.classes if record.held_out else list(dataset.classes)
    if set(scored) != set(dataset.classes):
        raise UserError(
            f"{folder.metrics} has scores of the classes {', '.join(scored)}, but {dataset.folder} has now "
            f"{', '.join(dataset.classes)}; {OTHER_OUTPUT}"
        )


def _execute(
    job: _Job,
    dataset: RawDataset | None,
    device: torch.device,
    console: PlainConsole,
    processes: Processes,
    observers: Sequence[Observer],
) -> None:
    if dataset is None:
        console.announce("preparing the sample data set", SAMPLE_NAMES[job.settings.sample])
        dataset = processes.first_does(lambda: open_raw_dataset(prepare_sample(job.folder.raw, job.settings.sample)))
    # Imported here: nnU-Net takes seconds to import, and reads its environment when it is imported.
    from .training_pipeline import execute_run

    execute_run(dataset, job.settings, job.folder, device, console, processes, observers)


def _default_output(said: Mapping[str, Any]) -> Path:
    name = Path(said["dataset"]).name if "dataset" in said else SAMPLE_NAMES[said.get("sample", "brain")]
    scratch = "-scratch" if "pretrained" in said and said["pretrained"] is None else ""
    return DEFAULT_RESULTS / f"{name}-{said.get('model', SAMPLE_SETTINGS.model)}{scratch}"


def _check_devices(name: str, count: int) -> None:
    """Raise `UserError` if there are not that many devices, before as many processes are started."""
    import torch

    if ":" in name:
        raise UserError(f"--device {name}: with --devices {count} say --device {name.partition(':')[0]}")
    # Which model it is, and so whether it needs the kernels, the processes find out.
    device = check_device(name, needs_kernels=False)
    if device.type == "cuda" and torch.cuda.device_count() < count:
        raise UserError(f"--devices {count}: there are {torch.cuda.device_count()} GPUs; use fewer, or --device cpu")
