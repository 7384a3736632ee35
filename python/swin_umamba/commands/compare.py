"""``swin-umamba compare``: train, predict and score several systems under one budget, and make their table."""

from __future__ import annotations

import argparse

from ..common.device import DEVICE_HELP
from ..common.setting_kinds import Integer, Number
from ..comparison.shared_settings import SHARED
from ..evaluation.measure_names import MEASURES_HELP
from ..paper.systems import SYSTEMS
from ..runs.settings import SAMPLE_SETTINGS, Settings
from .parsing import add_time_limit, one_of, path
from .setting_options import add_settings, said_settings

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

Exit codes: 0 done, 1 a system failed, 2 wrong input (nothing was trained), 75 out of time (go on by the same
command), 130 interrupted.

examples:
  %(prog)s --models nnunet,swin-umamba-d
  %(prog)s 702 --pretrained vssmtiny_dp01_ckpt_epoch_292.pth --scratch --device cuda
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument(
        "dataset",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="DATASET",
        help="an nnU-Net raw data set: its folder, or its id or name below the folder nnUNet_raw (default: the sample)",
    )
    parser.add_argument(
        "--models",
        metavar="A,B,...",
        help="the systems, separated by commas; the others are tested against the first (default: all, "
        f"{', '.join(SYSTEMS)})",
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
    add_settings(parser, Settings, set(SHARED) - {"dataset"}, sample=SAMPLE_SETTINGS)
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)
    parser.add_argument(
        "--learning-rate",
        type=_model_rate,
        nargs="+",
        default=(),
        metavar="MODEL=RATE",
        help="of the first epoch of some models, instead of the one of the paper's comparison",
    )
    parser.add_argument(
        "--folds",
        metavar="F-G",
        help="train every system on each of these folds, such as 0-4, and pool their cases (default: --fold alone)",
    )
    parser.add_argument(
        "--seeds",
        type=one_of(Integer(1, 1000)),
        metavar="N",
        help="train every system with N seeds, from --seed on (default: that one alone)",
    )
    parser.add_argument(
        "--job",
        type=one_of(Integer(0, 1_000_000)),
        metavar="K",
        help="only do training number K of all of them, counted from 0, beside other processes that do others, such as "
        "K = $SLURM_ARRAY_TASK_ID; the same command without --job then makes the table",
    )
    parser.add_argument(
        "--metrics",
        metavar="A,B,...",
        help=f"the scores of the table, separated by commas, of {MEASURES_HELP}; may be changed without training again "
        "(default: dsc,nsd, or those of the paper's metric on its data sets)",
    )
    parser.add_argument(
        "--output", type=path, metavar="DIR", help="results folder (default: results/DATASET-comparison)"
    )
    add_time_limit(parser, "the same command")


def run(args: argparse.Namespace) -> None:
    """Compare by `swin_umamba.jobs.comparison.compare`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.comparison import ComparisonRequest, compare

    compare(
        ComparisonRequest(
            said={name: value for name, value in said_settings(args, Settings).items() if name in SHARED},
            models=None if args.models is None else tuple(map(str.strip, filter(str.strip, args.models.split(",")))),
            scratch=args.scratch,
            pretrained=args.pretrained,
            no_pretrained=args.no_pretrained,
            learning_rates=tuple(args.learning_rate),
            output=args.output,
            device=args.device,
            metrics=args.metrics,
            folds=args.folds,
            seeds=args.seeds,
            job=args.job,
            time_limit=args.time_limit,
        )
    )


def _model_rate(text: str) -> tuple[str, float]:
    model, separator, rate = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must be MODEL=RATE, got {text!r}")
    return model, one_of(Number(0, 1))(rate)
