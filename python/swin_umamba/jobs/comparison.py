"""Train, predict and score several systems under one budget, and make their table and figure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..checkpoints.encoder_file import check_pretrained_file, find_pretrained_file
from ..common.console import PlainConsole
from ..common.device import check_device
from ..common.errors import RunError, UserError
from ..common.processors import set_worker_defaults
from ..common.summary import note
from ..common.time_limit import end_in_time
from ..comparison.folder import ComparisonFolder
from ..comparison.repeats import Repeats, list_runs, parse_folds
from ..comparison.shared_settings import shared_settings
from ..comparison.systems import ComparedSystem, all_models, check_models, choose_systems
from ..datasets import RawDataset, open_raw_dataset, prepare_sample
from ..datasets.find_dataset import find_dataset
from ..datasets.group_folds import absolute_table
from ..datasets.raw_dataset import check_fold
from ..datasets.sample import SAMPLE_NAMES
from ..evaluation.measure_names import parse_measures
from ..paper.protocol import find_protocol
from ..paper.systems import SYSTEMS
from ..report.commands import training_arguments
from ..runs.folder import enter_environment
from ..runs.settings import PRETRAINABLE, Settings, check_scratch
from .check_inputs import open_checked_dataset, try_pretrained

TABLE_WIDTH = 140


@dataclass(frozen=True)
class ComparisonRequest:
    """What the user asks of ``swin-umamba compare``, whose help says what each field is.

    ``said`` has the fields in `swin_umamba.comparison.shared_settings.SHARED` that the user gave a value; paths are as
    the user wrote them.
    """

    said: Mapping[str, Any] = field(default_factory=dict)
    models: Sequence[str] | None = None
    scratch: bool = False
    pretrained: str | None = None
    no_pretrained: bool = False
    learning_rates: Sequence[tuple[str, float]] = ()
    output: Path | None = None
    device: str = "auto"
    metrics: str | None = None
    folds: str | None = None
    seeds: int | None = None
    job: int | None = None
    time_limit: float | None = None


def compare(request: ComparisonRequest) -> None:
    """Check everything, then train what is not finished, and write the table.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        A system failed.
    OutOfTime
        The time limit, in seconds, is reached, or SIGUSR1 has come.
    """
    with end_in_time(request.time_limit):
        _compare(request)


def _compare(request: ComparisonRequest) -> None:
    measures = None if request.metrics is None else parse_measures(request.metrics)
    request = _with_models(request)
    systems = _choose(request)
    repeats = _repeats(request, systems[0].settings)
    command = _command(request, systems)
    compare_systems(systems, repeats, _output(request, systems), request.device, command, measures, request.job)


def compare_systems(
    systems: Sequence[ComparedSystem],
    repeats: Repeats | None,
    output: Path,
    device_name: str,
    command: Sequence[str],
    measures: Sequence[str] | None = None,
    job: int | None = None,
) -> None:
    """Check everything, then train what is not finished, and write the table.

    Parameters
    ----------
    systems
        The rows of the table.
    repeats
        Folds and seeds of each; ``None`` for those of its settings.
    output
        Results folder, as the user wrote it.
    device_name
        Where to compute.
    command
        What repeats this.
    measures
        The scores of the table; see `swin_umamba.comparison.record.make_record`.
    job
        Number of the only training to do, without a table.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        A training failed.
    """
    set_worker_defaults()
    runs = list_runs(systems, repeats)
    if job is not None and job >= len(runs):
        raise UserError(f"--job {job}: there are {len(runs)} trainings, counted from 0")
    folder = ComparisonFolder(output.expanduser().resolve())
    folder.check(runs)
    settings = runs[0].settings
    raw = folder.raw if settings.dataset is None else Path(settings.dataset).parent
    enter_environment(raw, folder.run(runs[0]))
    needs_kernels = any(SYSTEMS[system.settings.model].needs_kernels for system in systems)
    device = check_device(device_name, needs_kernels=needs_kernels)
    if settings.dataset is None and repeats is not None and len(repeats.folds) > 1:
        raise UserError("several folds: the sample has one split; leave them out")
    dataset = open_checked_dataset(settings, folder.root, needs_held_out=True)
    if repeats is not None and dataset is not None:
        for fold in repeats.folds[1:]:
            check_fold(dataset, fold)
    for system in runs[: len(systems)]:
        if system.settings.pretrained is not None and not folder.run(system).settings.exists():
            try_pretrained(system.settings, dataset)
    if job is not None:
        _train_one(runs, job, folder, dataset, str(device))
        return
    with folder.open(runs):
        # A table cut to a pipe's 80 columns would lose digits.
        console = PlainConsole(width=None if sys.stdout.isatty() else TABLE_WIDTH)
        if dataset is None:
            console.announce("preparing the sample data set", SAMPLE_NAMES[settings.sample])
            dataset = open_raw_dataset(prepare_sample(folder.raw, settings.sample))
        # Imported late: the help of all commands should not wait for scipy and matplotlib.
        from .comparison_pipeline import execute_comparison

        execute_comparison(systems, dataset, folder, str(device), command, console, measures, repeats)


def _repeats(request: ComparisonRequest, settings: Settings) -> Repeats | None:
    if request.folds is None and request.seeds is None:
        return None
    if request.folds is not None and "fold" in request.said:
        raise UserError("--fold and --folds: say one of them")
    folds = (settings.fold,) if request.folds is None else parse_folds(request.folds)
    first = settings.seed
    return Repeats(folds, tuple(range(first, first + (request.seeds or 1))))


def _train_one(
    runs: Sequence[ComparedSystem], number: int, folder: ComparisonFolder, dataset: RawDataset | None, device: str
) -> None:
    """Train one of all runs, beside other processes that train others of them."""
    from filelock import FileLock

    run = runs[number]
    folder.root.mkdir(parents=True, exist_ok=True)
    # Each waits here for the others, which are at it for seconds.
    with FileLock(folder.root / ".jobs.lock"), folder.open(runs):
        if dataset is None:
            prepare_sample(folder.raw, run.settings.sample)
    note(output=folder.root, training=run.name)
    console = PlainConsole()
    console.print(f"{run.title}: training {number} of 0 to {len(runs) - 1}")
    if folder.run(run).is_finished:
        console.print("has been trained before")
        return
    from .comparison_process import run_process

    if (failure := run_process(folder.run(run).root, device)) is not None:
        raise RunError(f"{run.title} failed: {failure}")
    console.print("the same command without --job makes the table")


def _with_models(request: ComparisonRequest) -> ComparisonRequest:
    if request.models is not None:
        return request
    said = dict(request.said)
    dataset = said.pop("dataset", None)
    return replace(request, models=all_models(said, None if dataset is None else str(find_dataset(dataset))))


def _choose(request: ComparisonRequest) -> list[ComparedSystem]:
    assert request.models is not None  # see _with_models
    check_models(request.models)
    said = dict(request.said)
    dataset = said.pop("dataset", None)
    if said.get("group_by") is not None:
        said["group_by"] = absolute_table(said["group_by"])
    if dataset is not None:
        dataset = str(find_dataset(dataset))
    pretrainable = set(request.models) & set(PRETRAINABLE)
    pretrained = None
    if request.pretrained is not None:
        if not pretrainable:
            raise UserError(f"--pretrained: none of the models has a VMamba encoder; name {' or '.join(PRETRAINABLE)}")
        pretrained = str(check_pretrained_file(request.pretrained, "--pretrained"))
    elif pretrainable and not request.no_pretrained and dataset and find_protocol(Path(dataset).name) is not None:
        pretrained = str(find_pretrained_file("--no-pretrained"))
    if pretrained is None:
        check_scratch(said)
    rates = dict(request.learning_rates)
    if len(rates) < len(request.learning_rates):
        raise UserError("--learning-rate names a model twice")
    return choose_systems(said, dataset, request.models, pretrained, request.scratch, rates)


def _output(request: ComparisonRequest, systems: Sequence[ComparedSystem]) -> Path:
    settings = systems[0].settings
    name = SAMPLE_NAMES[settings.sample] if settings.dataset is None else Path(settings.dataset).name
    return request.output or Path("results") / f"{name}-comparison"


def _command(request: ComparisonRequest, systems: Sequence[ComparedSystem]) -> list[str]:
    """The command with every shared setting said, so that no default matters; paths as the user wrote them."""
    pretrained = request.pretrained or next((s.settings.pretrained for s in systems if s.settings.pretrained), None)
    paths = {**{name: request.said.get(name) for name in ("dataset", "group_by")}, "pretrained": pretrained}
    settings = {**shared_settings(systems[0].settings), **paths}
    assert request.models is not None
    if request.folds is not None:
        del settings["fold"]
    command = ["swin-umamba", "compare", *training_arguments(settings)]
    command += ["--models", ",".join(request.models)]
    command += ["--scratch"] if request.scratch else []
    command += ["--no-pretrained"] if request.no_pretrained else []
    if request.learning_rates:
        command += ["--learning-rate", *(f"{model}={rate:g}" for model, rate in request.learning_rates)]
    command += ["--folds", request.folds] if request.folds is not None else []
    command += ["--seeds", str(request.seeds)] if request.seeds is not None else []
    command += ["--metrics", request.metrics] if request.metrics is not None else []
    return [*command, "--device", request.device, "--output", str(_output(request, systems))]
