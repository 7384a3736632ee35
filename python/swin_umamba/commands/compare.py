"""``swin-umamba compare``: train, predict and score several systems under one budget, and make their table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from ..checkpoints.encoder_file import check_pretrained_file, find_pretrained_file
from ..common.device import check_device
from ..common.errors import UserError
from ..common.processors import set_worker_defaults
from ..comparison.folder import ComparisonFolder
from ..comparison.systems import SHARED, ComparedSystem, check_models, choose_systems, shared_settings
from ..datasets import open_raw_dataset, prepare_sample
from ..datasets.find_dataset import find_dataset
from ..datasets.sample import SAMPLE_NAME
from ..jobs.check_inputs import open_checked_dataset, try_pretrained
from ..paper.protocol import find_protocol
from ..paper.systems import SYSTEMS
from ..report.commands import training_arguments
from ..runs.folder import enter_environment
from ..runs.settings import PRETRAINABLE, check_scratch
from .parsing import number_between
from .training_options import add_training_options

SUMMARY = "train, predict and score several systems under one budget, and make their table and figure"

DESCRIPTION = """\
Train systems of the paper's Table 2 on one data set under one budget (the same epochs, iterations, batch, patch
and seed), predict and score its held-out cases, and write the table: parameters, operations, DSC and NSD (F1 for
NeurIPSCell) with standard deviation over cases, a paired test against the first system, time of a training step,
peak memory. Each system has the optimizer, schedule and learning rate of the paper's comparison.

Without DATASET the systems are compared on the sample, as in `swin-umamba train`."""

EPILOG = """\
The output folder holds comparison.html, .md, .csv, .json and .png, and one folder for each system: an ordinary
run, with its own page, that `swin-umamba train --resume --output` understands.

The same command goes on where a former one was stopped: finished systems are not trained again, and --models may
name more of them. A system that fails is named in the table, and the others go on.

Exit codes: 0 done, 1 a system failed, 2 wrong input (nothing was trained), 130 interrupted.

examples:
  swin-umamba compare --models nnunet,swin-umamba-d
  swin-umamba compare 702 --pretrained vssmtiny_dp01_ckpt_epoch_292.pth --scratch --device cuda
"""


TABLE_WIDTH = 140


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument(
        "dataset",
        nargs="?",
        metavar="DATASET",
        help="an nnU-Net raw data set: its folder, or its id or name below the folder nnUNet_raw (default: the sample)",
    )
    parser.add_argument(
        "--models",
        default=",".join(SYSTEMS),
        metavar="A,B,...",
        help="the systems, separated by commas; the others are tested against the first (default: all nine, "
        f"{','.join(SYSTEMS)})",
    )
    parser.add_argument(
        "--scratch",
        action="store_true",
        help="add both Swin-UMambas from random weights, beside those that --pretrained starts",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--pretrained",
        metavar="FILE",
        help="ImageNet weights for the Swin-UMambas among the models (default: as in `swin-umamba train`, which "
        "looks for a file on the paper's data sets alone)",
    )
    weights.add_argument("--no-pretrained", action="store_true", help="start all of them from random weights")
    add_training_options(parser)
    parser.add_argument(
        "--learning-rate",
        type=_model_rate,
        nargs="+",
        metavar="MODEL=RATE",
        help="of the first epoch of some models, instead of the one of the paper's comparison",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="results folder (default: results/DATASET-comparison)"
    )


def run(args: argparse.Namespace) -> None:
    """Check everything, then train what is not finished, and write the table.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        A system failed.
    """
    set_worker_defaults()
    systems = _choose(args)
    folder = ComparisonFolder(_output(args, systems).expanduser().resolve())
    folder.check(systems)
    settings = systems[0].settings
    raw = folder.raw if settings.dataset is None else Path(settings.dataset).parent
    enter_environment(raw, folder.run(systems[0]))
    device = check_device(args.device, needs_kernels=any(SYSTEMS[s.settings.model].needs_kernels for s in systems))
    dataset = open_checked_dataset(settings, folder.root, needs_held_out=True)
    for system in systems:
        if system.settings.pretrained is not None and not folder.run(system).settings.exists():
            try_pretrained(system.settings, dataset)
    with folder.open(systems):
        # A table cut to a pipe's 80 columns would lose digits.
        console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
        if dataset is None:
            console.print("[bold]preparing the sample data set[/bold] (slices of MNI ICBM152, from nilearn)")
            dataset = open_raw_dataset(prepare_sample(folder.raw))
        # Imported late: the help of all commands should not wait for scipy and matplotlib.
        from ..jobs.comparison import execute_comparison

        execute_comparison(systems, dataset, folder, str(device), _command(args, systems), console)


def _choose(args: argparse.Namespace) -> list[ComparedSystem]:
    models = [name.strip() for name in args.models.split(",") if name.strip()]
    check_models(models)
    dataset = None if args.dataset is None else str(find_dataset(args.dataset))
    said: dict[str, Any] = {
        name: getattr(args, name) for name in SHARED if name != "dataset" and getattr(args, name) is not None
    }
    if args.patch_size is not None:
        said["patch_size"] = tuple(args.patch_size)
    pretrained = None
    if args.pretrained is not None:
        if not set(models) & set(PRETRAINABLE):
            raise UserError(f"--pretrained: none of the models has a VMamba encoder; name {' or '.join(PRETRAINABLE)}")
        pretrained = str(check_pretrained_file(args.pretrained, "--pretrained"))
    elif _is_papers(dataset) and not args.no_pretrained and set(models) & set(PRETRAINABLE):
        pretrained = str(find_pretrained_file("--no-pretrained"))
    if pretrained is None:
        check_scratch(said)
    rates = dict(args.learning_rate or [])
    if len(rates) < len(args.learning_rate or []):
        raise UserError("--learning-rate names a model twice")
    return choose_systems(said, dataset, models, pretrained, args.scratch, rates)


def _is_papers(dataset: str | None) -> bool:
    return dataset is not None and find_protocol(Path(dataset).name) is not None


def _output(args: argparse.Namespace, systems: list[ComparedSystem]) -> Path:
    dataset = systems[0].settings.dataset
    return args.output or Path("results") / f"{SAMPLE_NAME if dataset is None else Path(dataset).name}-comparison"


def _command(args: argparse.Namespace, systems: list[ComparedSystem]) -> list[str]:
    """The command with every shared setting said, so that no default matters; paths as the user wrote them."""
    pretrained = args.pretrained or next((s.settings.pretrained for s in systems if s.settings.pretrained), None)
    shared = {**shared_settings(systems[0].settings), "dataset": args.dataset, "pretrained": pretrained}
    command = ["swin-umamba", "compare", *training_arguments(shared), "--models", args.models]
    command += ["--scratch"] if args.scratch else []
    command += ["--no-pretrained"] if args.no_pretrained else []
    if args.learning_rate:
        command += ["--learning-rate", *(f"{model}={rate:g}" for model, rate in args.learning_rate)]
    return [*command, "--device", args.device, "--output", str(_output(args, systems))]


def _model_rate(text: str) -> tuple[str, float]:
    model, separator, rate = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must be MODEL=RATE, got {text!r}")
    return model, number_between(0, 1)(rate)
