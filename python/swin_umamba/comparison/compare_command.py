"""``swin-umamba compare``: train, predict and score several systems under one budget, and make their table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ..command import integer_between, number_between
from ..console import capture_output
from ..data import RawDataset, check_cases, open_raw_dataset, prepare_sample
from ..data.raw_dataset import check_fold
from ..data.sample import SAMPLE_NAME
from ..device import DEVICE_HELP, choose_device
from ..errors import UserError
from ..models import SYSTEMS, build_model
from ..page.commands import training_arguments
from ..training.find_dataset import find_dataset
from ..training.paper_protocol import find_protocol
from ..training.pretrained_file import check_pretrained_file, find_pretrained_file
from ..training.progress import progress_bar
from ..training.run_folder import enter_environment, set_worker_defaults
from ..training.settings import AMP_CHOICES, INPUT_CHANNELS_CHOICES, PRETRAINABLE, SAMPLE_SETTINGS, Settings
from .folder import ComparisonFolder
from .systems import SHARED, ComparedSystem, check_models, choose_systems, shared_settings

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
    sample, other = SAMPLE_SETTINGS, Settings(dataset="")
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
    parser.add_argument(
        "--input-channels",
        choices=INPUT_CHANNELS_CHOICES,
        help="what becomes of a pretrained patch embedding of other channels: left out, or its kernels summed or "
        f"averaged (default: {other.input_channels})",
    )
    parser.add_argument(
        "--freeze-epochs",
        type=integer_between(0, 100_000),
        metavar="N",
        help=f"epochs for which a pretrained encoder stays as it is (default: {other.freeze_epochs})",
    )
    parser.add_argument(
        "--epochs",
        type=integer_between(1, 100_000),
        metavar="N",
        help=f"of every system (default: {other.epochs}, or the paper's on its data sets; for the sample "
        f"{sample.epochs})",
    )
    parser.add_argument(
        "--iterations",
        type=integer_between(1, 1_000_000),
        metavar="N",
        help=f"training iterations of one epoch (default: {other.iterations}; for the sample {sample.iterations})",
    )
    parser.add_argument(
        "--batch-size",
        type=integer_between(1, 4096),
        metavar="N",
        help=f"images of one iteration (default: by nnU-Net; for the sample {sample.batch_size})",
    )
    parser.add_argument(
        "--patch-size",
        type=integer_between(16, 4096),
        nargs=2,
        metavar=("H", "W"),
        help="height and width of the training patches and of the sliding window (default: by nnU-Net, or the "
        "paper's; for the sample {} {})".format(*sample.patch_size),
    )
    parser.add_argument(
        "--learning-rate",
        type=_model_rate,
        nargs="+",
        metavar="MODEL=RATE",
        help="of the first epoch of some models, instead of the one of the paper's comparison",
    )
    parser.add_argument(
        "--fold",
        type=_fold,
        metavar="F",
        help="fold of nnU-Net's cross-validation, or all (default: 0, or all on the paper's data sets)",
    )
    parser.add_argument(
        "--nsd-tolerance",
        type=number_between(0, 1000),
        metavar="D",
        help="tolerance of the normalized surface distance, in the unit of the image spacing (default: "
        f"{other.nsd_tolerance:g})",
    )
    parser.add_argument("--amp", choices=AMP_CHOICES, help="mixed precision, as in `swin-umamba train` (default: auto)")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="results folder (default: results/DATASET-comparison)"
    )
    parser.add_argument("--seed", type=integer_between(0, 2**32 - 1), metavar="N", help="of every system (default: 0)")


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
    device = choose_device(args.device)
    dataset = _open_checked(settings, folder)
    for system in systems:
        if system.settings.pretrained is not None and not folder.run(system).settings.exists():
            _try_pretrained(system, dataset)
    with folder.open(systems):
        # A table cut to a pipe's 80 columns would lose digits.
        console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
        if dataset is None:
            console.print("[bold]preparing the sample data set[/bold] (slices of MNI ICBM152, from nilearn)")
            dataset = open_raw_dataset(prepare_sample(folder.raw))
        # Imported late: the help of all commands should not wait for scipy and matplotlib.
        from .comparison import execute_comparison

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
    rates = dict(args.learning_rate or [])
    if len(rates) < len(args.learning_rate or []):
        raise UserError("--learning-rate names a model twice")
    return choose_systems(said, dataset, models, pretrained, args.scratch, rates)


def _open_checked(settings: Settings, folder: ComparisonFolder) -> RawDataset | None:
    """The data set; ``None`` for the sample, which is made later."""
    if settings.dataset is None:
        if settings.fold not in (0, "all"):
            raise UserError(f"--fold {settings.fold}: the sample has one split; use --fold 0 or --fold all")
        return None
    # nnU-Net and its readers talk to the terminal; the error says it in one line.
    with capture_output(None) as console:
        dataset = open_raw_dataset(settings.dataset)
        check_fold(dataset, settings.fold)
        if settings.fold == "all" and not dataset.held_out:
            raise UserError(
                f"--fold all: {dataset.name} has no labelled test cases (labelsTs), so there would be no held-out "
                f"cases to compare by; give a fold"
            )
        if dataset.folder in (folder.root, *folder.root.parents):
            raise UserError(f"--output {folder.root} lies inside the data set, which is never written to")
        cases = [*dataset.training, *dataset.held_out]
        console.print(f"[bold]checking[/bold] {escape(dataset.name)}: {len(cases)} cases")
        with progress_bar(console) as bar:
            task = bar.add_task("checking", total=len(cases))
            check_cases(dataset, cases, lambda: bar.advance(task))
    return dataset


def _is_papers(dataset: str | None) -> bool:
    return dataset is not None and find_protocol(Path(dataset).name) is not None


def _try_pretrained(system: ComparedSystem, dataset: RawDataset | None) -> None:
    """Raise `UserError` if the weights do not fit, before other systems have been trained for hours."""
    from ..pretrained import load_pretrained

    network = build_model(system.settings.model, 1 if dataset is None else dataset.n_channels)
    load_pretrained(network, system.settings.pretrained, system.settings.input_channels)


def _output(args: argparse.Namespace, systems: list[ComparedSystem]) -> Path:
    dataset = systems[0].settings.dataset
    return args.output or Path("results") / f"{SAMPLE_NAME if dataset is None else Path(dataset).name}-comparison"


def _command(args: argparse.Namespace, systems: list[ComparedSystem]) -> list[str]:
    """The command with every shared setting said, so that no default matters; paths as the user wrote them."""
    shared = {**shared_settings(systems[0].settings), "dataset": args.dataset}
    command = ["swin-umamba", "compare", *training_arguments(shared), "--models", args.models]
    command += ["--scratch"] if args.scratch else []
    command += ["--no-pretrained"] if args.no_pretrained else []
    pretrained = args.pretrained or next((s.settings.pretrained for s in systems if s.settings.pretrained), None)
    command += ["--pretrained", pretrained] if pretrained else []
    if args.learning_rate:
        command += ["--learning-rate", *(f"{model}={rate:g}" for model, rate in args.learning_rate)]
    return [*command, "--device", args.device, "--output", str(_output(args, systems))]


def _model_rate(text: str) -> tuple[str, float]:
    model, separator, rate = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must be MODEL=RATE, got {text!r}")
    return model, number_between(0, 1)(rate)


def _fold(text: str) -> int | str:
    return text if text == "all" else integer_between(0, 999)(text)
