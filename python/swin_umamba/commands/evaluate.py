"""``swin-umamba evaluate``: score predictions against references."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..common.console import PlainConsole
from ..common.errors import UserError

SUMMARY = "score predictions against references: DSC and NSD of organs, instruments or any labels, F1 of cells"


def _tolerance(text: str) -> tuple[str | None, float]:
    name, separator, value = text.rpartition("=")
    try:
        return name if separator else None, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or NAME=NUMBER, got {text!r}") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("reference", type=Path, metavar="REF", help="folder of reference label images, or one file")
    parser.add_argument("prediction", type=Path, metavar="PRED", help="folder of predicted label images, or one file")
    parser.add_argument(
        "--metric",
        required=True,
        choices=("abdomen", "endoscopy", "cells", "labels", "held-out"),
        help="abdomen, endoscopy, cells: the paper's data sets 702, 704, 703; labels: the labels of any data set; "
        "held-out: the same by the rule of a run's metrics.json",
    )
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="compute exactly what the released evaluation scripts compute, oddities included",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="also write cases.csv and summary.json here")
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        nargs="+",
        metavar="MM",
        help="tolerance of the NSD, for --metric labels (default: 2) and held-out (default: 1): MM, or NAME=MM for "
        "some; pixels for plain images",
    )
    parser.add_argument(
        "--dataset-json",
        type=Path,
        metavar="FILE",
        help="names the labels for --metric labels and held-out (default: dataset.json beside or above REF, else the "
        "labels found)",
    )
    parser.add_argument(
        "--reference-masks",
        choices=("instances", "interior"),
        help="for --metric cells: REF numbers the cells (default), or marks their interiors 1",
    )
    parser.add_argument(
        "--prediction-masks",
        choices=("interior", "instances"),
        default="interior",
        help="the same of PRED (default: interior, as the networks predict)",
    )
    parser.add_argument(
        "--ignore-position",
        action="store_true",
        help="compare volumes voxel by voxel also where their origins or orientations differ",
    )


def run(args: argparse.Namespace) -> None:
    """Score, print the table, and write the files that were asked for.

    Raises
    ------
    UserError
        The input cannot be scored as it is.
    """
    # Imported late: the help of all commands should not wait for the image libraries.
    from ..common.files import try_folder
    from ..common.images.label_files import CasePair
    from ..common.progress import progress_bar
    from ..evaluation.evaluation import evaluate_folders
    from ..evaluation.scores import summary_table, summary_title

    tolerance = None
    if args.tolerance:
        general = [value for name, value in args.tolerance if name is None]
        named = {name: value for name, value in args.tolerance if name is not None}
        if len(general) > 1 or len(general) + len(named) < len(args.tolerance):
            raise UserError("--tolerance was given twice for one label, or twice for all")
        tolerance = named or general[0]
        if general and named:
            raise UserError("--tolerance is one number for all labels, or NAME=NUMBER for some; not both")
    if args.output is not None and args.output.exists() and not args.output.is_dir():
        raise UserError(f"--output {args.output} is a file; name a folder")
    if args.output is not None:
        # Before the scoring, which may take an hour.
        with _told_as_wrong_output(args.output):
            try_folder(args.output)

    # On stderr, so that the table alone goes into a pipe.
    messages = PlainConsole(stderr=True)

    def show_progress(pairs: Sequence[CasePair]) -> Iterator[CasePair]:
        with progress_bar(messages) as bar:
            task = bar.add_task("scoring", total=len(pairs))
            for pair in pairs:
                yield pair
                bar.advance(task)

    evaluation = evaluate_folders(
        args.reference,
        args.prediction,
        args.metric,
        as_published=args.as_published,
        tolerance=tolerance,
        dataset_json=args.dataset_json,
        reference_masks=args.reference_masks,
        prediction_masks=args.prediction_masks,
        check_position=not args.ignore_position,
        progress=show_progress,
    )
    # A table cut to a pipe's 80 columns would lose digits.
    console = PlainConsole(width=None if sys.stdout.isatty() else 120)
    console.print(summary_title(evaluation))
    console.print(summary_table(evaluation))
    if evaluation.without_reference:
        names = evaluation.without_reference
        shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        messages.print(f"not scored, as they have no reference: {len(names)} predictions ({shown})", soft_wrap=True)
    if args.output is not None:
        with _told_as_wrong_output(args.output):
            evaluation.write(args.output)
        messages.print(f"wrote {args.output / 'cases.csv'} and {args.output / 'summary.json'}", soft_wrap=True)


@contextlib.contextmanager
def _told_as_wrong_output(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to --output {output}: {error.strerror}; name another folder") from error
