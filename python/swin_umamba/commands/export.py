"""``swin-umamba export``: a trained model as a file that runs without this package."""

from __future__ import annotations

import argparse

from ..exporting import NEEDED
from .parsing import path

EPILOG = """\
DIR gets the model, checked against the network's own output, and model.json with preprocessing and labels; beside
ONNX for plain images also predict.py, which predicts a PNG by numpy and onnxruntime or openvino.

examples:
  %(prog)s results/Dataset152_MNITissue-swin-umamba-d exported
  python exported/predict.py image.png labels.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.epilog = EPILOG
    parser.add_argument("run", type=path, metavar="RUN", help="folder of a run, or a checkpoint, as predict takes them")
    parser.add_argument("output", type=path, metavar="DIR", help="new or empty folder to write to")
    parser.add_argument(
        "--format",
        choices=list(NEEDED),
        default="onnx",
        help="onnx (default) is checked in onnxruntime, onnx-openvino in OpenVINO; onnx-linear-attention takes opset "
        "27's operator of that name, slower in onnxruntime 1.32; pt2 and aoti, "
        "which is compiled for this processor, need torch and swin_umamba_ext; hub is a folder of the Hugging Face Hub",
    )


def run(args: argparse.Namespace) -> None:
    """Export by `swin_umamba.jobs.exporting.export`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.exporting import ExportRequest, export

    export(ExportRequest(run=args.run, output=args.output, format=args.format))
