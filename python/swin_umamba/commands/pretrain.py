"""Pretrain the encoder of Swin-UMamba and Swin-UMamba† as an image classifier."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..common.device import DEVICE_HELP
from ..common.exit_codes import execute
from ..common.setting_kinds import Integer
from ..pretraining.settings import PretrainingSettings
from .one_line_parser import OneLineParser, summary_of
from .parsing import one_of, path
from .setting_options import add_settings, said_settings

DESCRIPTION = """\
Train VMamba-Tiny, the encoder of Swin-UMamba and Swin-UMamba† with a classification head, on labelled images.

DIR holds train/CLASS/ and val/CLASS/, or the folders CLASS/ themselves, of which a part then validates. Images
are PNG, JPEG, BMP or TIFF, colour or greyscale, 8 bits or deeper. The defaults are the ImageNet recipe of VMamba
and Swin Transformer: AdamW, a cosine after a linear warm-up, label smoothing, mixup and CutMix, RandAugment,
stochastic depth, and a moving average of the weights."""

EPILOG = """\
The results folder holds vmamba_tiny.pth and vmamba_tiny_ema.pth, the weights of the last epoch and their moving
average, either of which --pretrained of the training takes; metrics.json; settings.json; and
checkpoint_latest.pth, which --resume goes on from.

Exit codes: 0 done, 1 a run that failed, 2 wrong input (nothing was trained), 130 interrupted.

examples:
  %(prog)s imagenet --batch-size 256 --device cuda
  torchrun --nproc-per-node 8 -m swin_umamba.pretrain imagenet --batch-size 1024
  swin-umamba train nnUNet_raw/Dataset702_AbdomenMR --pretrained results/pretrain-imagenet/vmamba_tiny.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument(
        "--output", type=path, metavar="DIR", help="results folder; a former run is never overwritten "
        "(default: results/pretrain-NAME, after the name of the folder of images)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in the results folder, with its settings"
    )
    add_settings(parser, PretrainingSettings)
    parser.add_argument(
        "--workers",
        type=one_of(Integer(0, 256)),
        metavar="N",
        help="processes that read and augment images, for each process that trains; the results are the same "
        "(default: up to 8 for a GPU, else none)",
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)


def run(args: argparse.Namespace) -> None:
    """Pretrain by `swin_umamba.jobs.pretraining.pretrain`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.pretraining import PretrainingRequest, pretrain

    said = said_settings(args, PretrainingSettings)
    pretrain(PretrainingRequest(said, args.output, args.resume, args.device, args.workers))


def main(argv: Sequence[str] | None = None, prog: str = "python -m swin_umamba.pretrain") -> int:
    """Parse the command line, run, and return the exit code; see `swin_umamba.common.exit_codes.execute`."""
    parser = OneLineParser(prog=prog)
    add_arguments(parser)
    args = parser.parse_args(argv)
    return execute(run, args, prog, summary_of=summary_of(args, "pretrain"))
