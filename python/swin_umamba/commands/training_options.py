"""Options that the commands ``train`` and ``compare`` have in common."""

from __future__ import annotations

import argparse

from ..common.device import DEVICE_HELP
from ..runs.settings import AMP_CHOICES, INPUT_CHANNELS_CHOICES, SAMPLE_SETTINGS, Settings
from .parsing import integer_between, number_between


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Declare how long, on what and from where every system is trained; ``None`` where the user says nothing."""
    sample, other = SAMPLE_SETTINGS, Settings(dataset="")
    parser.add_argument(
        "--input-channels",
        choices=INPUT_CHANNELS_CHOICES,
        help="what becomes of the pretrained patch embedding where the images have other channels: left out, or its "
        f"kernels summed or averaged over the channels (default: {other.input_channels})",
    )
    parser.add_argument(
        "--freeze-epochs",
        type=integer_between(0, 100_000),
        metavar="N",
        help="epochs for which the pretrained encoder, except its patch embedding, stays as it is "
        f"(default: {other.freeze_epochs})",
    )
    parser.add_argument(
        "--epochs",
        type=integer_between(1, 100_000),
        metavar="N",
        help="length of the training and of its learning-rate schedule "
        f"{_defaults(f'{other.epochs}, or that of the paper on its data sets', sample.epochs)}",
    )
    parser.add_argument(
        "--iterations",
        type=integer_between(1, 1_000_000),
        metavar="N",
        help="training iterations of one epoch; a fifth as many validation iterations follow "
        f"{_defaults(other.iterations, sample.iterations)}",
    )
    parser.add_argument(
        "--batch-size",
        type=integer_between(1, 4096),
        metavar="N",
        help=f"images of one iteration, of all devices together {_defaults('by nnU-Net', sample.batch_size)}",
    )
    parser.add_argument(
        "--patch-size",
        type=integer_between(16, 4096),
        nargs=2,
        metavar=("H", "W"),
        help="height and width of the training patches and of the sliding window, best a multiple of 32 "
        f"{_defaults('by nnU-Net, or that of the paper on its data sets', '{} {}'.format(*sample.patch_size))}",
    )
    parser.add_argument(
        "--fold",
        type=_fold,
        metavar="F",
        help="fold of nnU-Net's cross-validation, or all to train on every case (default: 0, or all on the paper's "
        "data sets)",
    )
    parser.add_argument(
        "--nsd-tolerance",
        type=number_between(0, 1000),
        metavar="D",
        help="tolerance of the normalized surface distance, in the unit of the image spacing: mm, or pixels for "
        f"PNG (default: {other.nsd_tolerance:g})",
    )
    parser.add_argument(
        "--amp",
        choices=AMP_CHOICES,
        help="mixed precision; auto is bfloat16 on a GPU that has it, float16 with a gradient scaler on others, and "
        "off on a CPU and for SegResNet, UNETR and SwinUNETR, as in the paper (default: auto)",
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)
    parser.add_argument(
        "--seed",
        type=integer_between(0, 2**32 - 1),
        metavar="N",
        help="of the initial weights, the sampling and the augmentation (default: 0)",
    )


def _fold(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return integer_between(0, 999)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or all") from None


def _defaults(other: object, sample: object) -> str:
    return f"(default: {other}; for the sample {sample})"
