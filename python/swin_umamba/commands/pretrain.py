"""Pretrain the encoder of Swin-UMamba and Swin-UMamba† as an image classifier."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.device import DEVICE_HELP
from ..common.exit_codes import execute
from ..jobs.pretraining import run
from ..pretraining.settings import AUGMENTATIONS, PretrainingSettings
from .parsing import OneLineParser, integer_between, number_between

if TYPE_CHECKING:
    pass

SUMMARY = "pretrain the encoder as an image classifier, on a folder of images for each class"

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
  python -m swin_umamba.pretrain imagenet --batch-size 256 --device cuda
  torchrun --nproc-per-node 8 -m swin_umamba.pretrain imagenet --batch-size 1024
  python train.py nnUNet_raw/Dataset702_AbdomenMR --pretrained results/pretrain-imagenet/vmamba_tiny.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    default = PretrainingSettings(data="")
    parser.add_argument("data", type=Path, metavar="DIR", help="the folder of images")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="results folder; a former run is never overwritten "
        "(default: results/pretrain-NAME)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in the results folder, with its settings"
    )
    parser.add_argument(
        "--image-size",
        type=_multiple_of_32,
        metavar="N",
        help=f"height and width of the network's input, a multiple of 32 (default: {default.image_size})",
    )
    parser.add_argument("--epochs", type=integer_between(1, 100_000), metavar="N", help=f"(default: {default.epochs})")
    parser.add_argument(
        "--warmup-epochs",
        type=_number_from_zero(100_000),
        metavar="N",
        help="of linearly rising learning rate (default: a fifteenth of the epochs)",
    )
    parser.add_argument(
        "--batch-size",
        type=integer_between(1, 1_000_000),
        metavar="N",
        help=f"images of one step, over all processes together (default: {default.batch_size})",
    )
    parser.add_argument(
        "--learning-rate",
        type=number_between(0, 1),
        metavar="RATE",
        help="the highest one (default: 0.001 for 1024 images of a step, in proportion for others)",
    )
    for name, of in (
        ("weight_decay", "of all weights but biases, norms, A_logs and Ds"),
        ("label_smoothing", "part of the target that is spread over all classes"),
        ("drop_path", "stochastic depth of the last block"),
        ("ema_decay", "of the moving average of the weights"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_number_from_zero(1),
            metavar="X",
            help=f"{of} (default: {getattr(default, name):g})",
        )
    parser.add_argument(
        "--augmentation",
        choices=AUGMENTATIONS,
        help="strong: random resized crop, flip, RandAugment, erasing; light: crop of at least half the area, flip "
        f"(default: {default.augmentation})",
    )
    parser.add_argument(
        "--no-mixing", dest="mixing", action="store_false", default=None, help="without mixup and CutMix"
    )
    parser.add_argument(
        "--validation-fraction",
        type=number_between(0, 0.9),
        metavar="X",
        help=f"part of each class that validates where DIR has no val (default: {default.validation_fraction:g})",
    )
    parser.add_argument(
        "--embed-dim",
        type=_even,
        metavar="N",
        help=f"channels of the first stage; the networks of the paper take weights of {default.embed_dim} only",
    )
    parser.add_argument(
        "--depths",
        type=integer_between(1, 100),
        nargs=4,
        metavar="N",
        help="blocks of the stages; the networks of the paper take weights of "
        f"{' '.join(map(str, default.depths))} only",
    )
    parser.add_argument(
        "--seed",
        type=integer_between(0, 2**32 - 1),
        metavar="N",
        help=f"of the weights, the split, the order and the augmentation (default: {default.seed})",
    )
    parser.add_argument(
        "--workers",
        type=integer_between(0, 256),
        metavar="N",
        help="processes that read and augment images, for each process that trains; the results are the same "
        "(default: up to 8 for a GPU, else none)",
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)


def main(argv: Sequence[str] | None = None, prog: str = "python -m swin_umamba.pretrain") -> int:
    """Parse the command line, run, and return the exit code; see `swin_umamba.commands.parsing.execute`."""
    parser = OneLineParser(prog=prog)
    add_arguments(parser)
    return execute(run, parser.parse_args(argv), prog)


def _multiple_of_32(text: str) -> int:
    value = integer_between(32, 4096)(text)
    if value % 32:
        raise argparse.ArgumentTypeError(f"must be a multiple of 32, got {value}")
    return value


def _even(text: str) -> int:
    value = integer_between(2, 4096)(text)
    if value % 2:
        raise argparse.ArgumentTypeError(f"must be even, got {value}")
    return value


def _number_from_zero(high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        return 0.0 if text.strip() in ("0", "0.0") else number_between(0, high)(text)

    return convert
