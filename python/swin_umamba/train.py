"""The main job: train on a data set, predict its held-out cases, score and draw them."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from .command import OneLineParser, execute, integer_between, number_between
from .console import capture_output
from .data import RawDataset, check_cases, open_raw_dataset, prepare_sample
from .data.raw_dataset import check_fold
from .data.sample import SAMPLE_NAME
from .errors import RunError, UserError
from .files import write_json
from .training.progress import progress_bar
from .training.run_folder import RunFolder, enter_environment
from .training.settings import SAMPLE_SETTINGS, TRAINERS, Settings, choose_settings, read_settings

if TYPE_CHECKING:
    import torch
    from rich.console import Console

SUMMARY = "train on a data set, predict its held-out cases, score and draw them"

DESCRIPTION = """\
Train Swin-UMamba with nnU-Net, predict the held-out cases, score and draw them.

Without --dataset it makes a sample data set: axial slices of the MNI ICBM152 T1 template with grey and
white matter as labels, from the package nilearn, without any download. Held-out slices come from slabs of
the brain that lie apart from the training slabs. The defaults for the sample are chosen for two processor
cores and some minutes; for other data sets they follow the paper."""

EPILOG = """\
The results folder holds metrics.json, loss_curve.png, panel.png, predictions/, checkpoint.pth, train.log,
and nnU-Net's own folders. The data set itself is never written to.

Reproducibility: on a CPU the same seed, settings, machine and number of threads give the same weights, and
so does a run that was killed and resumed. On a GPU the augmentation runs in worker processes and some CUDA
kernels add in no fixed order; there, the seed fixes the initial weights only.

Exit codes: 0 done, 1 a run that failed, 2 wrong input (nothing was trained), 130 interrupted.

examples:
  python train.py
  python train.py --resume
  python train.py --dataset nnUNet_raw/Dataset702_AbdomenMR --model swin-umamba --device cuda
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    sample, other = SAMPLE_SETTINGS, Settings(dataset="")
    parser.add_argument(
        "--dataset",
        metavar="DIR",
        help="an nnU-Net raw data set: a folder DatasetXXX_Name with dataset.json, imagesTr and labelsTr. Held-out "
        "cases are imagesTs with labelsTs where both are there, else the validation cases of the fold "
        "(default: the sample)",
    )
    parser.add_argument("--model", choices=list(TRAINERS), help=f"the network (default: {sample.model})")
    parser.add_argument(
        "--epochs",
        type=integer_between(1, 100_000),
        metavar="N",
        help=f"length of the training and of its learning-rate cosine {_defaults(sample.epochs, other.epochs)}",
    )
    parser.add_argument(
        "--iterations",
        type=integer_between(1, 1_000_000),
        metavar="N",
        help="training iterations of one epoch; a fifth as many validation iterations follow "
        f"{_defaults(sample.iterations, other.iterations)}",
    )
    parser.add_argument(
        "--batch-size",
        type=integer_between(1, 4096),
        metavar="N",
        help=f"images of one iteration {_defaults(sample.batch_size, 'by nnU-Net')}",
    )
    parser.add_argument(
        "--patch-size",
        type=integer_between(16, 4096),
        nargs=2,
        metavar=("H", "W"),
        help="height and width of the training patches and of the sliding window, best a multiple of 32 "
        f"{_defaults('{} {}'.format(*sample.patch_size), 'by nnU-Net')}",
    )
    parser.add_argument(
        "--learning-rate",
        type=number_between(0, 1),
        metavar="RATE",
        help="of the first epoch; a cosine over the epochs takes it down to 1e-6 "
        f"{_defaults(f'{sample.learning_rate:g}', f'{other.learning_rate:g}')}",
    )
    parser.add_argument(
        "--fold",
        type=_fold,
        metavar="F",
        help="fold of nnU-Net's cross-validation, or all to train on every case (default: 0)",
    )
    parser.add_argument(
        "--nsd-tolerance",
        type=number_between(0, 1000),
        metavar="D",
        help="tolerance of the normalized surface distance, in the unit of the image spacing: mm, or pixels for "
        f"PNG (default: {sample.nsd_tolerance:g})",
    )
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda or cuda:N; auto takes a GPU if there is one (default: auto)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="results folder; a former run is never overwritten (default: results/DATASET-MODEL)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the results folder after its last finished epoch, with its settings",
    )
    parser.add_argument(
        "--seed",
        type=integer_between(0, 2**32 - 1),
        metavar="N",
        help="of the initial weights, the sampling and the augmentation; see below (default: 0)",
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
    dataset_folder = None if args.dataset is None else str(Path(args.dataset).expanduser().resolve())
    model = args.model or SAMPLE_SETTINGS.model
    folder = RunFolder((args.output or _default_output(dataset_folder, model)).expanduser().resolve())
    stored = None
    if args.resume:
        folder.check_former()
        stored = read_settings(folder.settings)
    else:
        folder.check_new()
    fields = ("model", "epochs", "iterations", "batch_size", "learning_rate", "fold", "seed", "nsd_tolerance")
    given = {name: getattr(args, name) for name in fields}
    patch_size = None if args.patch_size is None else tuple(args.patch_size)
    settings = choose_settings({**given, "dataset": dataset_folder, "patch_size": patch_size}, stored)
    raw = folder.raw if settings.dataset is None else Path(settings.dataset).parent
    enter_environment(raw, folder)
    device = _choose_device(args.device)
    dataset = None if settings.dataset is None else _open_checked(settings, folder)
    if dataset is None and settings.fold not in (0, "all"):
        raise UserError(f"--fold {settings.fold}: the sample has one split; use --fold 0 or --fold all")
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        write_json(folder.settings, settings.as_json())
    except OSError as error:
        raise UserError(f"cannot write to the results folder {folder.root}: {error.strerror}") from error
    with capture_output(folder.log) as console:
        _execute(dataset, settings, folder, device, console)


def main(argv: Sequence[str] | None = None, prog: str = "python -m swin_umamba.train") -> int:
    """Parse the command line, run, and return the exit code; see `swin_umamba.command.execute`."""
    parser = OneLineParser(prog=prog)
    add_arguments(parser)
    return execute(run, parser.parse_args(argv), prog)


def _open_checked(settings: Settings, folder: RunFolder) -> RawDataset:
    dataset = open_raw_dataset(settings.dataset)
    check_fold(dataset, settings.fold)
    if dataset.folder in (folder.root, *folder.root.parents):
        raise UserError(f"--output {folder.root} lies inside the data set, which is never written to")
    cases = [*dataset.training, *dataset.held_out]
    # The readers complain on their own to the terminal; the error says it in one line.
    with capture_output(None) as console:
        console.print(f"[bold]checking[/bold] {escape(dataset.name)}: {len(cases)} cases")
        with progress_bar(console) as bar:
            task = bar.add_task("checking", total=len(cases))
            check_cases(dataset, cases, lambda: bar.advance(task))
    return dataset


def _execute(
    dataset: RawDataset | None, settings: Settings, folder: RunFolder, device: torch.device, console: Console
) -> None:
    try:
        if dataset is None:
            console.print("[bold]preparing the sample data set[/bold] (slices of MNI ICBM152, from nilearn)")
            dataset = open_raw_dataset(prepare_sample(folder.raw))
        # Imported here: nnU-Net takes seconds to import, and reads its environment when it is imported.
        from .training.run import execute_run

        execute_run(dataset, settings, folder, device, console)
    except (UserError, RunError):
        raise
    except KeyboardInterrupt:
        console.print("stopped; go on with the same command and --resume")
        raise
    except Exception as error:
        traceback.print_exc()
        reason = " ".join(str(error).split()) or "no message"
        raise RunError(f"failed with {type(error).__name__}: {reason} (details in {folder.log})") from error


def _default_output(dataset_folder: str | None, model: str) -> Path:
    name = SAMPLE_NAME if dataset_folder is None else Path(dataset_folder).name
    return Path("results") / f"{name}-{model}"


def _choose_device(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UserError(f"--device {name}: must be auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        why = "no GPU is visible" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise UserError(f"--device {name}: {why}; use --device cpu")
    if int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    device = torch.device("cuda", int(index or 0))
    torch.cuda.set_device(device)
    return device


def _fold(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return integer_between(0, 999)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or all") from None


def _defaults(sample: object, other: object) -> str:
    return f"(default: {other}; for the sample {sample})"


if __name__ == "__main__":
    sys.exit(main())
