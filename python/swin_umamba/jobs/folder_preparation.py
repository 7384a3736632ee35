"""Turn a folder of images and a folder of masks into an nnU-Net raw data set."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import UserError
from ..common.files import lock_folder, write_json
from ..common.summary import note
from ..common.text import one_line
from ..prepare.folder.options import FolderOptions

if TYPE_CHECKING:
    from ..common.console import PlainConsole

SOURCES_FILE = "sources.json"
"""In a data set that a training has made: the folders of which."""


@dataclass(frozen=True)
class FolderPreparationRequest:
    """What the user asks of ``swin-umamba prepare folder``, whose help says what each field is.

    ``for_training``: the user has seen nothing of it yet, so what is left to be decided is refused.
    """

    images: Path
    masks: Path
    destination: Path
    workers: int | None = None
    irregular: bool = False
    options: FolderOptions = field(default_factory=FolderOptions)
    for_training: bool = False


def sources_of(images: Path, masks: Path) -> dict[str, str]:
    """Content of `SOURCES_FILE`."""
    return {"images": str(images.resolve()), "masks": str(masks.resolve())}


def prepare_folder(request: FolderPreparationRequest) -> None:
    """Pair images and masks, check all of them, write the data set and a contact sheet, and say what was understood.

    Raises
    ------
    UserError
        Files have no partner, cannot be read or do not fit, or DST has no name of a data set, holds other files,
        cannot be written to, or is being written to by another process.
    """
    # Imported late: the help of all commands should not wait for the image libraries.
    from ..common.console import PlainConsole
    from ..common.images.dicom.staging import holds_dicom, staged

    folder = request.destination
    if not re.fullmatch(r"Dataset\d{3}_.+", folder.name):
        raise UserError(
            f"DST must be the folder of the new data set, named DatasetXXX_Name with three digits, such as "
            f"{Path(folder) / 'Dataset501_Mine'}; got {one_line(folder.name, 80)!r}"
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder as DST")
    console = PlainConsole()
    console.print(f"reading {request.images} and {request.masks}", soft_wrap=True)
    with contextlib.ExitStack() as until_written:
        images, remarks = request.images, []
        if images.is_dir() and holds_dicom(images):
            found = until_written.enter_context(staged(images, folder, irregular=request.irregular))
            images = found.folder
            if coloured := next((one for one in found.series if len(one.images) > 1), None):
                raise UserError(
                    f"{coloured.files[0]} has several slices or frames in colour, of which no data set is made; store "
                    f"them in grey, or each frame as an image of its own"
                )
            remarks = found.notes
            for remark in remarks:
                console.print(f"note: {remark}", soft_wrap=True)
        elif request.irregular:
            raise UserError(f"--irregular is for DICOM; {images} holds none")
        _prepare(request, images, folder, console, remarks)


def _prepare(
    request: FolderPreparationRequest, images: Path, folder: Path, console: PlainConsole, remarks: list[str]
) -> None:
    from ..common.progress import progress_bar
    from ..prepare.folder.plan import plan
    from ..prepare.folder.sheet import write_sheet
    from ..prepare.preparation import check_destination, default_workers, write_dataset

    workers = request.workers or default_workers()
    with progress_bar(console) as bar:
        task = bar.add_task("checking", total=None)
        preparation = plan(
            images,
            request.masks,
            folder.name,
            f"made of {request.images.resolve().name} and {request.masks.resolve().name}",
            request.options,
            workers,
            on_pairs=lambda n: bar.update(task, total=n),
            on_pair_done=lambda: bar.advance(task),
            # Folders of DICOM have names of their own, as predictions of them will.
            by_channel=images == request.images,
        )
    if request.for_training and preparation.questions:
        raise UserError(preparation.questions[0])
    n_cases = sum(file.target.startswith("labels") for file in preparation.files)
    console.print(f"found {n_cases} pairs: {preparation.layout}", soft_wrap=True)
    for source in (request.images, request.masks):
        check_destination(preparation, source, folder)
    with lock_folder(folder, "choose another DST"), progress_bar(console) as bar:
        # Again: now no other process can change it.
        for source in (request.images, request.masks):
            check_destination(preparation, source, folder)
        task = bar.add_task("writing", total=len(preparation.files))
        if request.for_training:
            write_json(folder / SOURCES_FILE, sources_of(request.images, request.masks))
        written = write_dataset(preparation, folder, workers, on_file_done=lambda: bar.advance(task))
        sheet = write_sheet(preparation, folder)
    definition = preparation.definition
    if not request.for_training:
        note(
            dataset=folder,
            pairs=n_cases,
            paired_by=preparation.layout,
            counts=preparation.counts,
            channels=len(definition.channel_names),
            file_ending=definition.file_ending,
            labels=definition.labels,
            files={"written": written, "there": len(preparation.files) - written},
            contact_sheet=sheet,
            notes=[*remarks, *preparation.notes],
        )
    colour = {1: "grey", 3: "colour"}.get(len(definition.channel_names), f"{len(definition.channel_names)} channels")
    counts = ", ".join(f"{count} {what}" for what, count in preparation.counts.items() if count)
    console.print(f"{colour} images as {definition.file_ending}: {counts}", soft_wrap=True)
    for remark in preparation.notes:
        console.print(f"note: {remark}" if not remark.startswith("labels") else remark, soft_wrap=True)
    console.print(f"{written} files written, {len(preparation.files) - written} were there", soft_wrap=True)
    console.print(f"look at {sheet}: do the labels lie on what they name?", soft_wrap=True)
    if request.for_training:
        console.print(f"made {folder}, which is trained on now", soft_wrap=True)
        return
    grouped = " --group-by prepared" if preparation.groups else ""
    console.print(f"then: swin-umamba train {folder}{grouped}", soft_wrap=True)
