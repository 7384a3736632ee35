"""The main job: train on a data set, predict its held-out cases, score and draw them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.encoder_file import USUAL_PLACE
from ..checkpoints.released_file import RELEASED_FILE
from ..common.exit_codes import execute
from ..jobs.training import run
from ..runs.settings import (
    SAMPLE_SETTINGS,
    TRAINERS,
)
from .parsing import OneLineParser, integer_between, number_between
from .training_options import add_training_options

if TYPE_CHECKING:
    pass

SUMMARY = "train on a data set, predict its held-out cases, score and draw them"

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

Exit codes: 0 done, 1 a run that failed, 2 wrong input (nothing was trained), 130 interrupted.

examples:
  python train.py
  python train.py --resume
  python train.py 702 --model swin-umamba --device cuda
  python train.py nnUNet_raw/Dataset101_Liver --device cuda --devices 2
  torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m swin_umamba.train 702
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    # The processes that --devices starts speak to the user by the same name.
    parser.set_defaults(prog=parser.prog)
    parser.add_argument(
        "dataset",
        nargs="?",
        metavar="DATASET",
        help="an nnU-Net raw data set: a folder DatasetXXX_Name with dataset.json, imagesTr and labelsTr, or an id "
        "(702) or name (AbdomenMR) below the folder nnUNet_raw, which the environment variable of that name can say. "
        "Held-out cases are imagesTs with labelsTs where both are there, else the validation cases of the fold "
        "(default: the sample)",
    )
    parser.add_argument("--model", choices=list(TRAINERS), help=f"the network (default: {SAMPLE_SETTINGS.model})")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--pretrained",
        metavar="FILE",
        help="ImageNet weights of VMamba-Tiny for the encoder of Swin-UMamba and Swin-UMamba†, or a checkpoint of the "
        "same network (default: for the paper's data sets the file that the environment variable "
        f"SWIN_UMAMBA_PRETRAINED names, or else {USUAL_PLACE / RELEASED_FILE}; for others none)",
    )
    weights.add_argument("--no-pretrained", action="store_true", help="start from random weights")
    add_training_options(parser)
    parser.add_argument(
        "--learning-rate",
        type=number_between(0, 1),
        metavar="RATE",
        help="of the first epoch; the model's schedule takes it down from there, for Swin-UMamba a cosine to 1e-6 "
        f"(default: of the model, for Swin-UMamba 1e-4 and on the sample {SAMPLE_SETTINGS.learning_rate:g})",
    )
    parser.add_argument(
        "--checkpoint-epoch",
        type=integer_between(0, 99_999),
        metavar="N",
        help="epoch, counted from 0, whose weights predict the held-out cases (default: the last; for the paper's data "
        "sets the paper's)",
    )
    parser.add_argument(
        "--deep-supervision",
        action=argparse.BooleanOptionalAction,
        help="let the loss see all scales (default: as in the paper)",
    )
    parser.add_argument(
        "--devices",
        type=integer_between(1, 1024),
        default=1,
        metavar="N",
        help="train with N processes on this machine, one for each GPU, or on the CPU (default: 1)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="results folder; a former run is never overwritten (default: results/DATASET-MODEL, with -scratch after "
        "--no-pretrained)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the results folder after its last finished epoch, with its settings; DATASET may "
        "say where its data set has been moved",
    )


def main(argv: Sequence[str] | None = None, prog: str = "python -m swin_umamba.train") -> int:
    """Parse the command line, run, and return the exit code; see `swin_umamba.commands.parsing.execute`."""
    parser = OneLineParser(prog=prog)
    add_arguments(parser)
    return execute(run, parser.parse_args(argv), prog)
