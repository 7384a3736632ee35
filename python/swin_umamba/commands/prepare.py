"""``swin-umamba prepare``: turn a folder of images, or a public download, into an nnU-Net raw data set."""

from __future__ import annotations

import argparse

from ..common.setting_kinds import Integer, Number
from ..prepare import DATASETS
from .parsing import one_of, path

FOLDER = "folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    kinds = parser.add_subparsers(dest="dataset", required=True, metavar="|".join([FOLDER, *DATASETS]))
    _add_folder(kinds.add_parser(FOLDER, help="a folder of images and one of masks", description=_ABOUT_FOLDERS))
    for name, makes in DATASETS.items():
        _add_download(kinds.add_parser(name, help=makes, description=f"make {makes} of its public download"), name)


_ABOUT_FOLDERS = (
    "make a data set of a folder of images and a folder of masks: pairs by their names, every value or colour of the "
    "masks a label"
)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=path, metavar="IMAGES", help="folder of the images; it is only read")
    parser.add_argument("masks", type=path, metavar="MASKS", help="folder of their masks; it is only read")
    parser.add_argument(
        "destination", type=path, metavar="DST", help="folder to make, named as nnU-Net wants: DatasetXXX_Name"
    )
    parser.add_argument(
        "--image-name", metavar="FORM", help="form of the images' names, such as '*_img' (default: found by itself)"
    )
    parser.add_argument(
        "--mask-name",
        metavar="FORM",
        action="append",
        default=[],
        help="form of the masks' names, such as '*_mask'; once for each class if each has masks of its own (default: "
        "found by itself)",
    )
    parser.add_argument(
        "--labels",
        metavar="NAME=VALUE,...",
        help="names of the values or colours of masks, such as core=2,rim=#ff0000, or a table .csv of them (default: "
        "every value is a label; 0 and black are background)",
    )
    parser.add_argument(
        "--threshold",
        type=one_of(Integer(1, 65535)),
        metavar="N",
        help="make one class of all values from N on; also takes masks that are JPEG (default: every value is a label)",
    )
    parser.add_argument(
        "--group-by",
        metavar="RULE",
        help="what tells the patient of a case, kept on one side of every split: TABLE.csv:COLUMN with the cases in "
        "the first column, or a regular expression over their names (default: every case by itself)",
    )
    parser.add_argument(
        "--test-share",
        type=one_of(Number(0, 0.9)),
        metavar="X",
        help="share of the cases to hold out as test set, by group, at most 0.9 (default: none)",
    )
    parser.add_argument(
        "--irregular",
        action="store_true",
        help="take DICOM series with gaps, doubles, localizers, uneven or tilted slices as if they were even stacks",
    )
    parser.add_argument("--skip-unpaired", action="store_true", help="leave out images without mask and masks alone")
    _add_workers(parser)


def _add_download(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("source", type=path, metavar="SRC", help="the unpacked download; it is only read")
    parser.add_argument(
        "destination", type=path, metavar="DST", help="folder in which to make the data set's folder, as nnUNet_raw"
    )
    parser.add_argument(
        "--full-size",
        action="store_true",
        # The others refuse it, in words of their own.
        help="keep the challenge's frames of 1080 × 1920 (default: 360 × 640, as the paper's crop suggests)"
        if name == "endoscopy"
        else argparse.SUPPRESS,
    )
    _add_workers(parser)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=one_of(Integer(1, 256)),
        metavar="N",
        help="files to convert at a time (default: one a processor, at most 8)",
    )


def run(args: argparse.Namespace) -> None:
    """Prepare by `swin_umamba.jobs.preparation.prepare` or `prepare_folder`, and raise what that raises."""
    # Imported late: no help should wait for what a job needs.
    from ..jobs.folder_preparation import FolderPreparationRequest, prepare_folder
    from ..jobs.preparation import PreparationRequest, prepare
    from ..prepare.folder.options import FolderOptions

    if args.dataset == FOLDER:
        options = FolderOptions(
            args.image_name,
            tuple(args.mask_name),
            args.labels,
            args.threshold,
            args.group_by,
            args.test_share,
            args.skip_unpaired,
        )
        prepare_folder(
            FolderPreparationRequest(args.images, args.masks, args.destination, args.workers, args.irregular, options)
        )
    else:
        prepare(PreparationRequest(args.dataset, args.source, args.destination, args.full_size, args.workers))
