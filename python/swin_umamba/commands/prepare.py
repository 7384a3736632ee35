"""``swin-umamba prepare``: turn a public download into an nnU-Net raw data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..common.setting_kinds import Integer
from ..jobs.preparation import DATASETS, PreparationRequest, prepare
from .parsing import one_of

SUMMARY = "turn the public download of one of the paper's data sets into an nnU-Net raw data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("dataset", choices=DATASETS, help=", ".join(DATASETS.values()))
    parser.add_argument("source", type=Path, metavar="SRC", help="the unpacked download; it is only read")
    parser.add_argument(
        "destination", type=Path, metavar="DST", help="folder in which to make the data set's folder, as nnUNet_raw"
    )
    parser.add_argument(
        "--full-size",
        action="store_true",
        help="endoscopy: keep the challenge's frames of 1080 × 1920 (default: 360 × 640, as the paper's crop suggests)",
    )
    parser.add_argument(
        "--workers",
        type=one_of(Integer(1, 256)),
        metavar="N",
        help="files to convert at a time (default: one a processor, at most 8)",
    )


def run(args: argparse.Namespace) -> None:
    """Prepare by `swin_umamba.jobs.preparation.prepare`, and raise what that raises."""
    prepare(PreparationRequest(args.dataset, args.source, args.destination, args.full_size, args.workers))
