"""A data set to be written: its files, what each is made of, and the writing itself."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from ..common.errors import UserError, last_line
from ..common.files import replace_atomically, write_json
from ..common.images.formats import is_hidden
from ..common.text import one_line
from ..common.typed_json import load_json
from ..datasets.group_folds import write_groups
from ..paper.data_sets import DatasetDefinition

PARTS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs", "labelsVal-instance-mask")
"""Folders of a prepared data set; the last, named as in U-Mamba's release, has the numbered cells of the test set."""


SETTINGS_FILE = "preparation.json"
"""Beside ``dataset.json``: how the files were made, so that a run with other options does not mix with them."""


@dataclass(frozen=True)
class OutputFile:
    """One file to be written.

    Attributes
    ----------
    target : str
        Where, relative to the data set's folder.
    sources : tuple of pathlib.Path
        What it is made of; it is made again when one of them is newer.
    make : callable
        Returns its content.
    """

    target: str
    sources: tuple[Path, ...]
    make: Callable[[], bytes]


@dataclass(frozen=True)
class Preparation:
    """All that has to be written for one data set, known before anything is.

    Attributes
    ----------
    definition : DatasetDefinition
        The data set.
    layout : str
        The layout of the download that was recognised.
    files : list of OutputFile
        Without ``dataset.json``, which is written last.
    counts : dict
        What was found, under the names of Table 1.
    notes : list of str
        What the user should know about the download.
    options : dict
        What else decides the files' content.
    splits : list or None
        The folds of ``splits_final.json``, where it has any.
    groups : dict or None
        The group of each case for ``groups.csv``, where they are known.
    questions : list of str
        What was decided without the user's word, and might be meant otherwise.
    """

    definition: DatasetDefinition
    layout: str
    files: list[OutputFile]
    counts: dict[str, int]
    notes: list[str] = field(default_factory=list)
    options: dict[str, object] = field(default_factory=dict)
    splits: list[dict[str, list[str]]] | None = None
    groups: Mapping[str, str] | None = None
    questions: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, object]:
        return {"layout": self.layout, **self.options}

    @property
    def n_training(self) -> int:
        return sum(file.target.startswith("labelsTr/") for file in self.files)


def copy_of(target: str, source: Path) -> OutputFile:
    """Return the output file that is a copy of its source."""
    return OutputFile(target, (source,), source.read_bytes)


def _is_current(path: Path, sources: tuple[Path, ...]) -> bool:
    try:
        written = path.stat().st_mtime_ns
    except FileNotFoundError:
        return False
    return all(written >= source.stat().st_mtime_ns for source in sources)


def _check_settings(preparation: Preparation, path: Path) -> None:
    try:
        before = load_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({last_line(error)}); remove {path.parent} and prepare again"
        ) from error
    if before != preparation.settings:
        former = one_line(json.dumps(before, ensure_ascii=False), 100)
        raise UserError(
            f"{path.parent} was prepared otherwise, {former}, than is asked for now, "
            f"{json.dumps(preparation.settings, ensure_ascii=False)}; choose another DST, or remove it"
        )


def check_destination(preparation: Preparation, source: Path, folder: Path) -> None:
    """Raise `UserError` unless the data set can be written to ``folder`` beside what is there already.

    Raises
    ------
    UserError
        The folder is inside the download, around it, holds files that this download does not make, or was begun from
        another layout or with other options.
    """
    source, folder = source.resolve(), folder.resolve()
    if folder == source or source in folder.parents or folder in source.parents:
        raise UserError(
            f"the data set would be written to {folder}, which overlaps the download {source}; "
            f"choose a DST outside the download, which stays untouched"
        )
    _check_settings(preparation, folder / SETTINGS_FILE)
    expected = {file.target for file in preparation.files}
    strange = [
        f"{part}/{path.name}"
        for part in PARTS
        if (folder / part).is_dir()
        for path in sorted((folder / part).iterdir())
        if not is_hidden(path) and f"{part}/{path.name}".removesuffix(".partial") not in expected
    ]
    if strange:
        raise UserError(
            f"{folder} already holds {len(strange)} files that do not come from {source}, such as {strange[0]}; "
            f"choose another DST, or remove them"
        )


def write_dataset(
    preparation: Preparation, folder: Path, workers: int, on_file_done: Callable[[], object] = lambda: None
) -> int:
    """Write what is missing or older than its source, each file whole or not at all, ``dataset.json`` last.

    Parameters
    ----------
    preparation : Preparation
        What to write.
    folder : pathlib.Path
        The data set's folder.
    workers : int
        Files made at a time.
    on_file_done : callable
        Called for every file, also those that were there.

    Returns
    -------
    int
        Number of files that were written.

    Raises
    ------
    UserError
        A source turned out to be unreadable or wrong, or the folder cannot be written to; the files written so far
        stay, and are not made again.
    """
    with _told("write to", folder):
        for part in {Path(file.target).parent for file in preparation.files}:
            (folder / part).mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS_FILE, preparation.settings)

    def write(file: OutputFile) -> bool:
        path = folder / file.target
        with _told("read", file.sources[0] if file.sources else path):
            if _is_current(path, file.sources):
                return False
            content = file.make()
        with _told("write to", folder), replace_atomically(path) as target:
            target.write(content)
        return True

    written = 0
    with ThreadPoolExecutor(max_workers=workers) as pool:
        pending = [pool.submit(write, file) for file in preparation.files]
        try:
            for done in as_completed(pending):
                written += done.result()
                on_file_done()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    with _told("write to", folder):
        if preparation.splits is not None:
            write_json(folder / "splits_final.json", preparation.splits)
        if preparation.groups is not None:
            write_groups(folder, preparation.groups)
        write_json(folder / "dataset.json", preparation.definition.dataset_json(preparation.n_training))
    return written


@contextlib.contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where, reason = error.filename or path, error.strerror or error
        raise UserError(f"cannot {what} {where}: {reason}; when that is mended, the same command goes on") from error


def default_workers() -> int:
    """Return how many files to make at a time: one a processor, at most 8."""
    return min(8, os.cpu_count() or 1)
