"""``swin-umamba evaluate``: score predictions against references."""

from __future__ import annotations

import argparse

from ..evaluation.measure_names import MEASURES_HELP
from .parsing import path


def _tolerance(text: str) -> tuple[str | None, float]:
    name, separator, value = text.rpartition("=")
    try:
        return name if separator else None, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or NAME=NUMBER, got {text!r}") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("reference", type=path, metavar="REF", help="folder of reference label images, or one file")
    parser.add_argument("prediction", type=path, metavar="PRED", help="folder of predicted label images, or one file")
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
    parser.add_argument("--output", type=path, metavar="DIR", help="also write cases.csv and summary.json here")
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
        type=path,
        metavar="FILE",
        help="names the labels for --metric labels and held-out (default: dataset.json beside or above REF, else the "
        "labels found)",
    )
    parser.add_argument(
        "--metrics",
        metavar="A,B,...",
        help=f"the scores, separated by commas, of {MEASURES_HELP}; rve is the relative volume error (default: "
        "dsc,nsd; cells have F1)",
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
    """Score by `swin_umamba.jobs.evaluation.evaluate`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.evaluation import EvaluationRequest, evaluate

    evaluate(
        EvaluationRequest(
            reference=args.reference,
            prediction=args.prediction,
            metric=args.metric,
            as_published=args.as_published,
            output=args.output,
            tolerances=tuple(args.tolerance or ()),
            dataset_json=args.dataset_json,
            reference_masks=args.reference_masks,
            prediction_masks=args.prediction_masks,
            ignore_position=args.ignore_position,
            measures=args.metrics,
        )
    )
