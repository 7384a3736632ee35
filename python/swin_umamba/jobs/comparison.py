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
from ..common.errors import UserError
from ..common.processors import set_worker_defaults
from ..comparison.folder import ComparisonFolder
from ..comparison.systems import ComparedSystem, all_models, check_models, choose_systems, shared_settings
from ..datasets import open_raw_dataset, prepare_sample
from ..datasets.find_dataset import find_dataset
from ..datasets.group_folds import absolute_table
from ..datasets.sample import SAMPLE_NAME
from ..evaluation.measure_names import parse_measures
from ..paper.protocol import find_protocol
from ..paper.systems import SYSTEMS
from ..report.commands import training_arguments
from ..runs.folder import enter_environment
from ..runs.settings import PRETRAINABLE, check_scratch
from .check_inputs import open_checked_dataset, try_pretrained

TABLE_WIDTH = 140


@dataclass(frozen=True)
class ComparisonRequest:
    """What the user asks of ``swin-umamba compare``, whose help says what each field is.

    ``said`` has the fields in `swin_umamba.comparison.systems.SHARED` that the user gave a value; paths are as the user
    wrote them.
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


def compare(request: ComparisonRequest) -> None:
    """Check everything, then train what is not finished, and write the table.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        A system failed.
    """
    set_worker_defaults()
    measures = None if request.metrics is None else parse_measures(request.metrics)
    request = _with_models(request)
    systems = _choose(request)
    folder = ComparisonFolder(_output(request, systems).expanduser().resolve())
    folder.check(systems)
    settings = systems[0].settings
    raw = folder.raw if settings.dataset is None else Path(settings.dataset).parent
    enter_environment(raw, folder.run(systems[0]))
    device = check_device(request.device, needs_kernels=any(SYSTEMS[s.settings.model].needs_kernels for s in systems))
    dataset = open_checked_dataset(settings, folder.root, needs_held_out=True)
    for system in systems:
        if system.settings.pretrained is not None and not folder.run(system).settings.exists():
            try_pretrained(system.settings, dataset)
    with folder.open(systems):
        # A table cut to a pipe's 80 columns would lose digits.
        console = PlainConsole(width=None if sys.stdout.isatty() else TABLE_WIDTH)
        if dataset is None:
            console.announce("preparing the sample data set", "(slices of MNI ICBM152, from nilearn)")
            dataset = open_raw_dataset(prepare_sample(folder.raw))
        # Imported late: the help of all commands should not wait for scipy and matplotlib.
        from .comparison_pipeline import execute_comparison

        execute_comparison(systems, dataset, folder, str(device), _command(request, systems), console, measures)


def _with_models(request: ComparisonRequest) -> ComparisonRequest:
    if request.models is not None:
        return request
    said = dict(request.said)
    dataset = said.pop("dataset", None)
    return replace(request, models=all_models(said, None if dataset is None else str(find_dataset(dataset))))


def _choose(request: ComparisonRequest) -> list[ComparedSystem]:
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
    dataset = systems[0].settings.dataset
    return request.output or Path("results") / f"{SAMPLE_NAME if dataset is None else Path(dataset).name}-comparison"


def _command(request: ComparisonRequest, systems: Sequence[ComparedSystem]) -> list[str]:
    """The command with every shared setting said, so that no default matters; paths as the user wrote them."""
    pretrained = request.pretrained or next((s.settings.pretrained for s in systems if s.settings.pretrained), None)
    paths = {"dataset": request.said.get("dataset"), "pretrained": pretrained}
    command = ["swin-umamba", "compare", *training_arguments({**shared_settings(systems[0].settings), **paths})]
    command += ["--models", ",".join(request.models)]
    command += ["--scratch"] if request.scratch else []
    command += ["--no-pretrained"] if request.no_pretrained else []
    if request.learning_rates:
        command += ["--learning-rate", *(f"{model}={rate:g}" for model, rate in request.learning_rates)]
    command += ["--metrics", request.metrics] if request.metrics is not None else []
    return [*command, "--device", request.device, "--output", str(_output(request, systems))]
