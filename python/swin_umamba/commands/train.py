"""The main job: train on a data set, predict its held-out cases, score and draw them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from ..common.device import DEVICE_HELP
from ..common.exit_codes import execute
from ..common.setting_kinds import Integer
from ..runs.settings import SAMPLE_SETTINGS, Settings
from .one_line_parser import OneLineParser, summary_of
from .parsing import add_time_limit, one_of, path
from .setting_options import add_settings, said_settings

DESCRIPTION = """\
Train Swin-UMamba, or another system of the paper's Table 2, with nnU-Net; predict the held-out cases, score
and draw them.

Without DATASET it makes a sample data set: axial slices of the MNI ICBM152 T1 template with grey and
white matter as labels, from the package nilearn, without any download. Held-out slices come from slabs of
the brain that lie apart from the training slabs. The defaults for the sample are chosen for two processor
cores and some minutes. The paper's data sets (702, 703, 704) are trained on as in the paper."""

EPILOG = """\
The results folder holds report.html, metrics.json, loss_curve.png, panel.png, predictions/, checkpoint.pth, train.log,
and nnU-Net's own folders. The data set itself is never written to.

Reproducibility: on a CPU the same seed, settings, machine and numbers of threads and devices give the same
weights, and so does a run that was killed and resumed. On a GPU the augmentation runs in worker processes and
some CUDA kernels add in no fixed order; there, the seed fixes the initial weights only.

Exit codes: 0 done, 1 a run that failed, 2 wrong input (nothing was trained), 75 out of time (go on by
--resume), 130 interrupted.

examples:
  %(prog)s
  %(prog)s --resume
  %(prog)s 702 --model swin-umamba --device cuda
  %(prog)s nnUNet_raw/Dataset101_Liver --device cuda --devices 2
  %(prog)s nnUNet_raw/Dataset101_Liver --fold 0-4
  %(prog)s pictures masks
  torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m swin_umamba.train 702
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    # The processes that --devices starts speak to the user by the same name.
    parser.set_defaults(prog=parser.prog)
    add_settings(parser, Settings, types={"fold": _fold_or_folds}, sample=SAMPLE_SETTINGS)
    parser.add_argument(
        "masks",
        nargs="?",
        type=path,
        metavar="MASKS",
        help="folder of masks; DATASET is then a folder of images, and their data set is made first, in nnUNet_raw "
        "beside the results folder, as by prepare folder",
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)
    parser.add_argument(
        "--devices",
        type=one_of(Integer(1, 1024)),
        default=1,
        metavar="N",
        help="train with N processes on this machine, one for each GPU, or on the CPU (default: 1)",
    )
    parser.add_argument(
        "--output",
        type=path,
        metavar="DIR",
        help="results folder; a former run is never overwritten (default: results/DATASET-MODEL, with -scratch after "
        "--no-pretrained)",
    )
    add_time_limit(parser, "--resume")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the results folder after its last finished epoch, with its settings; DATASET may "
        "say where its data set has been moved",
    )


def run(args: argparse.Namespace) -> None:
    """Train by `swin_umamba.jobs.training.train`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.folds import train_folds
    from ..jobs.training import TrainingRequest, train

    said = said_settings(args, Settings)
    folds = said.pop("fold") if isinstance(said.get("fold"), _Folds) else None
    request = TrainingRequest(said, args.output, args.resume, args.device, args.devices, args.prog, args.time_limit)
    if args.masks is not None:
        from ..jobs.folder_training import made_of_folders

        request = made_of_folders(request, args.masks)
    if folds is None:
        train(request)
    else:
        train_folds(request, folds)


class _Folds(str):
    """Several folds, such as ``0-4``."""


def _fold_or_folds(text: str) -> int | str:
    if re.fullmatch(r"\d+[-,][\d,-]*", text):
        return _Folds(text)
    fold: int | str = one_of(Settings.declared["fold"].kind)(text)
    return fold


def main(argv: Sequence[str] | None = None, prog: str = "python -m swin_umamba.train") -> int:
    """Parse the command line, run, and return the exit code; see `swin_umamba.common.exit_codes.execute`."""
    parser = OneLineParser(prog=prog)
    add_arguments(parser)
    args = parser.parse_args(argv)
    return execute(run, args, prog, summary_of=summary_of(args, "train"))
