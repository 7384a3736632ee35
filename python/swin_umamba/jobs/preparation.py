"""Turn a public download into an nnU-Net raw data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..common.errors import UserError
from ..common.summary import note
from ..prepare import DATASETS


@dataclass(frozen=True)
class PreparationRequest:
    """What the user asks of ``swin-umamba prepare``, whose help says what each field is."""

    dataset: str
    source: Path
    destination: Path
    full_size: bool = False
    workers: int | None = None


def prepare(request: PreparationRequest) -> None:
    """Check the download, write the data set, and tell how its counts compare with the paper's Table 1.

    Raises
    ------
    UserError
        The download has no known layout or is not whole, or DST holds other files, cannot be written to, or is being
        written to by another process.
    """
    # Imported late: the help of all commands should not wait for the image libraries.
    from rich.table import Table

    from ..common.console import PlainConsole
    from ..common.files import lock_folder
    from ..common.progress import progress_bar
    from ..prepare import abdomen_mr, endoscopy, microscopy
    from ..prepare.preparation import check_destination, default_workers, write_dataset

    if not request.source.is_dir():
        raise UserError(f"{request.source} is no folder; unpack the download and give its folder as SRC")
    if request.destination.exists() and not request.destination.is_dir():
        raise UserError(f"{request.destination} is a file; give a folder as DST")
    if request.full_size and request.dataset != "endoscopy":
        raise UserError(f"--full-size is for endoscopy, not for {request.dataset}")
    console = PlainConsole()
    console.print(f"checking {request.source}", soft_wrap=True)
    options = {"full_size": True} if request.full_size else {}
    module = dict(zip(DATASETS, (abdomen_mr, endoscopy, microscopy), strict=True))[request.dataset]
    preparation = module.plan(request.source, **options)
    name = preparation.definition.name
    folder = request.destination if request.destination.name == name else request.destination / name
    check_destination(preparation, request.source, folder)
    console.print(f"found {preparation.layout}: {preparation.n_training} training cases")

    with lock_folder(folder, "choose another DST"), progress_bar(console) as bar:
        # Again: now no other process can change it.
        check_destination(preparation, request.source, folder)
        task = bar.add_task("writing", total=len(preparation.files))
        written = write_dataset(
            preparation, folder, request.workers or default_workers(), on_file_done=lambda: bar.advance(task)
        )

    table = Table(title=f"{name}: {written} files written, {len(preparation.files) - written} were there")
    for column in ("", "found", "paper, Table 1"):
        table.add_column(column, justify="left" if column == "" else "right")
    table_1 = preparation.definition.table_1
    for what in dict.fromkeys([*table_1, *preparation.counts]):
        found, expected = preparation.counts.get(what, 0), table_1.get(what, "")
        table.add_row(what, str(found), str(expected), style="" if expected in ("", found) else "yellow")
    console.print(table)
    if any(preparation.counts.get(what, 0) != n for what, n in table_1.items()):
        console.print("the counts differ from the paper's; scores do not compare with its tables", soft_wrap=True)
    for remark in preparation.notes:
        console.print(f"note: {remark}", soft_wrap=True)
    note(
        dataset=folder,
        found=preparation.layout,
        counts={what: {"found": preparation.counts.get(what, 0), "paper": n} for what, n in table_1.items()},
        files={"written": written, "there": len(preparation.files) - written},
        notes=preparation.notes,
    )
    console.print(f"wrote {folder}", soft_wrap=True)
