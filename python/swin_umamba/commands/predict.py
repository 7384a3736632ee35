"""``swin-umamba predict``: label images of new images, by a trained model."""

from __future__ import annotations

import argparse

from ..common.device import DEVICE_HELP
from ..common.setting_kinds import Integer, Number
from .parsing import one_of, path

EPILOG = """\
Images are PNG, TIFF, BMP, JPEG, NIfTI, NRRD, MetaImage or GIPL files, CASE.ending or CASE_0000.ending,
CASE_0001.ending ... with one channel each; or DICOM, of which each series is an image, in INPUT and the folders below
it. OUTPUT gets CASE.ending, the label image on the same grid, and predict.log.

Exit codes: 0 done, 1 some images could not be predicted and are named, 2 wrong input (nothing was predicted),
130 interrupted.

examples:
  %(prog)s images predictions --checkpoint results/Dataset152_MNITissue-swin-umamba-d/checkpoint.pth
  %(prog)s scan.nii.gz predictions --checkpoint checkpoint.pth --probabilities --overlays --device cuda
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.epilog = EPILOG
    parser.add_argument("input", type=path, metavar="INPUT", help="folder of images, or one image")
    parser.add_argument("output", type=path, metavar="OUTPUT", help="folder of the predictions; new or empty")
    parser.add_argument(
        "--checkpoint",
        type=path,
        required=True,
        metavar="FILE",
        help="folder of a run, or its checkpoint.pth; or a checkpoint of nnU-Net, or its folder of a trained model, "
        "whose folds are averaged",
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="go on with former predictions in OUTPUT, of the same model with the same settings",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write CASE.npz and CASE.pkl, as nnU-Net's --save_probabilities",
    )
    parser.add_argument(
        "--probability-images",
        action="store_true",
        help="also write probability_images/CASE.nii.gz, or .tif of images without a place in mm: an image per class",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write uncertainty/CASE.nii.gz or .tif: the entropy of the probabilities, from 0 to 1",
    )
    parser.add_argument(
        "--statistics",
        action="store_true",
        help="also write statistics.csv: size, number of structures and mean intensity of each label and case",
    )
    parser.add_argument("--overlays", action="store_true", help="also write overlays/CASE.png, labels over the image")
    parser.add_argument(
        "--mirroring",
        action="store_true",
        help="average over mirror images as well, which takes four times as long (default: as the paper, not)",
    )
    parser.add_argument(
        "--part",
        metavar="K/N",
        help="predict every N-th image alone, from the K-th on, counted from 1, as 2/8, while other processes predict "
        "the others into the same OUTPUT; auto takes both from the variables of a Slurm array",
    )
    parser.add_argument(
        "--step-size",
        type=one_of(Number(0, 1)),
        default=0.5,
        metavar="S",
        help="distance of neighbouring tiles as a share of the patch size (default: 0.5)",
    )
    parser.add_argument(
        "--dicom-seg",
        choices=("binary", "labelmap"),
        nargs="?",
        const="binary",
        help="of DICOM series, also write CASE.dcm, a DICOM segmentation object (default kind: binary)",
    )
    parser.add_argument(
        "--segment-codes",
        type=path,
        metavar="FILE",
        help="for --dicom-seg, a table .csv with the columns label, scheme, value, meaning: what labels are, as in "
        "SNOMED CT",
    )
    parser.add_argument(
        "--irregular",
        action="store_true",
        help="take DICOM series with gaps, doubles, localizers, uneven or tilted slices as if they were even stacks",
    )
    parser.add_argument(
        "--batch-size",
        type=one_of(Integer(1, 1024)),
        metavar="N",
        help="tiles that go through the network at once (default: by their size, and on a GPU by its memory)",
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="what the network computes in; auto is on a GPU that of the training, on a CPU bfloat16 if it has units "
        "for that and the training was not --amp off (default: auto)",
    )


def run(args: argparse.Namespace) -> None:
    """Predict by `swin_umamba.jobs.dicom_prediction.predict_images`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.dicom_prediction import predict_images
    from ..jobs.prediction import PredictionRequest

    predict_images(
        PredictionRequest(
            input=args.input,
            output=args.output,
            checkpoint=args.checkpoint,
            skip_existing=args.skip_existing,
            probabilities=args.probabilities,
            overlays=args.overlays,
            probability_images=args.probability_images,
            uncertainty=args.uncertainty,
            statistics=args.statistics,
            mirroring=args.mirroring,
            step_size=args.step_size,
            device=args.device,
            precision=args.precision,
            batch_size=args.batch_size,
            part=args.part,
        ),
        args.dicom_seg,
        args.irregular,
        args.segment_codes,
    )
