"""Train one model on several folds, and pool their scores: a comparison of one system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..common.errors import UserError
from ..common.time_limit import end_in_time
from ..comparison.repeats import Repeats, parse_folds
from ..comparison.systems import name_system
from ..runs.settings import Settings
from .comparison import compare_systems
from .training import TrainingRequest, default_output, settings_of


def train_folds(request: TrainingRequest, folds: str) -> None:
    """Train each fold in a process of its own, after what former processes have finished, and make the table.

    Parameters
    ----------
    request
        What the user asks, but for the folds.
    folds
        As `swin_umamba.comparison.repeats.parse_folds` reads them.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        A fold failed; the same command tries it again.
    OutOfTime
        The time limit is reached, or SIGUSR1 has come; the same command goes on.
    """
    if request.devices > 1:
        raise UserError(f"--fold {folds}: folds are trained one after the other, by one process; leave --devices out")
    settings: Settings = settings_of(request)
    repeats = Repeats(parse_folds(folds, "--fold"), (settings.seed,))
    output = request.output or Path(f"{default_output(request)}-folds")
    command = _command(request, folds, output)
    with end_in_time(request.time_limit):
        compare_systems([name_system(settings)], repeats, output, request.device, command, settings.measures)


def _command(request: TrainingRequest, folds: str, output: Path) -> Sequence[str]:
    from ..report.commands import training_arguments

    said = {name: value for name, value in request.said.items() if name != "fold"}
    return ["swin-umamba", "train", *training_arguments(said), "--fold", folds, "--output", str(output)]
