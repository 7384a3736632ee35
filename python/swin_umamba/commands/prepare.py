"""``swin-umamba prepare``: turn a public download into an nnU-Net raw data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..common.setting_kinds import Integer
from .parsing import one_of

SUMMARY = "turn the public download of one of the paper's data sets into an nnU-Net raw data set"

DATASETS = ("abdomen-mr", "endoscopy", "microscopy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "dataset",
        choices=DATASETS,
        help="Dataset702_AbdomenMR (AMOS22), Dataset704_Endovis17 (EndoVis 2017), Dataset703_NeurIPSCell",
    )
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
    """Check the download, write the data set, and tell how its counts compare with the paper's Table 1.

    Raises
    ------
    UserError
        The download has no known layout or is not whole, or DST holds other files, cannot be written to, or is being
        written to by another process.
    """
    # Imported late: the help of all commands should not wait for the image libraries.
    from rich.console import Console
    from rich.table import Table

    from ..common.errors import UserError
    from ..common.files import lock_folder
    from ..common.progress import progress_bar
    from ..prepare import abdomen_mr, endoscopy, microscopy
    from ..prepare.preparation import check_destination, default_workers, write_dataset

    if not args.source.is_dir():
        raise UserError(f"{args.source} is no folder; unpack the download and give its folder as SRC")
    if args.destination.exists() and not args.destination.is_dir():
        raise UserError(f"{args.destination} is a file; give a folder as DST")
    if args.full_size and args.dataset != "endoscopy":
        raise UserError(f"--full-size is for endoscopy, not for {args.dataset}")
    console = Console(highlight=False)
    console.print(f"checking {args.source}", soft_wrap=True)
    options = {"full_size": True} if args.full_size else {}
    module = dict(zip(DATASETS, (abdomen_mr, endoscopy, microscopy), strict=True))[args.dataset]
    preparation = module.plan(args.source, **options)
    name = preparation.definition.name
    folder = args.destination if args.destination.name == name else args.destination / name
    check_destination(preparation, args.source, folder)
    console.print(f"found {preparation.layout}: {preparation.n_training} training cases")

    with lock_folder(folder, "choose another DST"), progress_bar(console) as bar:
        # Again: now no other process can change it.
        check_destination(preparation, args.source, folder)
        task = bar.add_task("writing", total=len(preparation.files))
        written = write_dataset(
            preparation, folder, args.workers or default_workers(), on_file_done=lambda: bar.advance(task)
        )

    table = Table(title=f"{name}: {written} files written, {len(preparation.files) - written} were there")
    for column in ("", "found", "paper, Table 1"):
        table.add_column(column, justify="left" if column == "" else "right")
    for what, expected in preparation.definition.table_1.items():
        found = preparation.counts.get(what, 0)
        table.add_row(what, str(found), str(expected), style="" if found == expected else "yellow")
    console.print(table)
    if any(preparation.counts.get(what, 0) != n for what, n in preparation.definition.table_1.items()):
        console.print("the counts differ from the paper's; scores do not compare with its tables", soft_wrap=True)
    for note in preparation.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print(f"wrote {folder}", soft_wrap=True)
