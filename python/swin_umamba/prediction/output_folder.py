"""The folder of predictions: what is in it, and that what is in it is whole and of one model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import UserError, full_disk, last_line
from ..common.files import lock_folder, replace_atomically, write_json
from ..common.text import short_name
from ..common.typed_json import load_json
from ..runs.folder import ResultsFolder
from .input_cases import InputCase
from .maps import MAP_ENDINGS
from .parts import Part
from .statistics import gather

RECORD = "prediction.json"
_UNFINISHED = ".unfinished"
_PART_LOCK = ".lock"
_LONGEST_BEGIN = 60
"""Seconds to wait for others that begin."""


@dataclass(frozen=True)
class OutputFolder(ResultsFolder):
    """Label images ``CASE.ending``, and on request more files of each case.

    Attributes
    ----------
    root : pathlib.Path
        The folder.
    probabilities, overlays, probability_images, uncertainty, statistics : bool
        Whether these belong to a case: ``CASE.npz`` with ``CASE.pkl``, ``overlays/CASE.png``,
        ``probability_images/CASE`` and ``uncertainty/CASE`` with the ending of a map, and ``statistics/CASE.csv``.
    part : Part or None
        The share of this process, where others may work in the folder at the same time.
    """

    OTHER = "choose another OUTPUT"

    probabilities: bool = False
    overlays: bool = False
    probability_images: bool = False
    uncertainty: bool = False
    statistics: bool = False
    part: Part | None = None

    @property
    def wants_probabilities(self) -> bool:
        """Whether anything is made of the probabilities."""
        return self.probabilities or self.probability_images or self.uncertainty

    @property
    def wants_pixels(self) -> bool:
        """Whether anything is made of the image, beside its prediction."""
        return self.overlays or self.statistics

    @property
    def log(self) -> Path:
        return self.root / f"predict{self._of_part}.log"

    @property
    def _of_part(self) -> str:
        return "" if self.part is None else f"-{self.part.number}-of-{self.part.count}"

    def check(self, input_location: Path, record: dict[str, Any], skip_existing: bool) -> None:
        """Raise `UserError` unless predictions with these settings may go into the folder; nothing is written.

        Parameters
        ----------
        input_location
            The images; a label image of the same name must not replace one.
        record
            What decides the predictions: see `open`.
        skip_existing
            Whether to go on with former predictions.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root} is a file; give a folder as OUTPUT")
        images = input_location if input_location.is_dir() else input_location.parent
        if self.root.resolve() == images.resolve():
            raise UserError(f"{self.root} is the folder of the images, which label images would replace")
        # Other parts may be about to begin there.
        if self.part is None:
            self._check_former(record, skip_existing)

    def _check_former(self, record: dict[str, Any], skip_existing: bool) -> None:
        if not self.content:
            return
        if not (self.root / RECORD).exists():
            raise UserError(f"{self.root} is not empty and holds no former predictions; {self.OTHER}")
        # Those of other parts are as good as those of this one, which has not begun if it has left no log.
        if not skip_existing and (self.part is None or self.log.exists() or not self._locks_of_parts()):
            raise UserError(
                f"{self.root} holds former predictions; go on with them by --skip-existing, or {self.OTHER}"
            )
        try:
            former = dict(load_json(self.root / RECORD)["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = last_line(error)
            raise UserError(f"cannot read {self.root / RECORD} of the former predictions: {reason}") from error
        for name, value in record["settings"].items():
            if former.get(name) != value:
                raise UserError(
                    f"--skip-existing: {self.root} holds predictions with another {name.replace('_', ' ')} "
                    f"({short_name(str(former.get(name)))}, now {value}); {self.OTHER}"
                )

    @contextlib.contextmanager
    def opened(
        self, record: dict[str, Any], descriptions: dict[str, dict[str, Any]], skip_existing: bool
    ) -> Iterator[None]:
        """Make the folder, keep other processes out of it, and write down what decides the predictions in it.

        Processes with parts of one whole may work in it at the same time: each of them keeps the others out for the
        moment in which it begins, and after that only from its own part.

        Parameters
        ----------
        record
            Content of ``prediction.json``; a run with ``--skip-existing`` must have the same ``settings``.
        descriptions
            Content of further JSON files by name: nnU-Net's ensembling and postprocessing look for its ``plans.json``
            and ``dataset.json``.
        skip_existing
            See `check`; others may have changed the folder since.

        Raises
        ------
        UserError
            Another process is at work in the folder, other predictions are in it, or it cannot be written to.
        """
        with contextlib.ExitStack() as locks:
            if self.part is None:
                locks.enter_context(self.lock())
                self._begin(record, descriptions, skip_existing)
            else:
                with lock_folder(self.root, self.OTHER, wait=_LONGEST_BEGIN):
                    self._begin(record, descriptions, skip_existing)
                    locks.enter_context(lock_folder(self.root, self.OTHER, f"{_PART_LOCK}{self._of_part}"))
            yield

    def _begin(self, record: dict[str, Any], descriptions: dict[str, dict[str, Any]], skip_existing: bool) -> None:
        for lock in self._locks_of_parts():
            # Those of the same count leave this one's cases alone; its own is locked later, and says so.
            if self.part is None or not lock.endswith(f"-of-{self.part.count}"):
                with lock_folder(self.root, self.OTHER, lock):
                    pass
        self._check_former(record, skip_existing)
        for leftover in self.root.glob(f"{_UNFINISHED}{self._of_part}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            if self.part is None or not (self.root / RECORD).exists():
                write_json(self.root / RECORD, record)
            for name, content in descriptions.items():
                if self.part is None or not (self.root / name).exists():
                    with replace_atomically(self.root / name) as file:
                        # nnU-Net writes NaN into plans, for intensities of a data set without foreground.
                        file.write(json.dumps(content, indent=4).encode())
        except OSError as error:
            if full_disk(error):
                raise
            raise UserError(f"cannot write to OUTPUT {self.root}: {error.strerror}") from error

    def _locks_of_parts(self) -> list[str]:
        return [path.name for path in self.root.glob(f"{_PART_LOCK}-*-of-*")]

    def is_done(self, case: InputCase) -> bool:
        """Whether all that belongs to a case is there; what is there is whole."""
        paths = [self.root / f"{case.identifier}{case.ending}"]
        if self.probabilities:
            paths += [self.root / f"{case.identifier}{ending}" for ending in (".npz", ".pkl")]
        if self.overlays:
            paths.append(self.root / "overlays" / f"{case.identifier}.png")
        if self.statistics:
            paths.append(self.root / "statistics" / f"{case.identifier}.csv")
        for name in ("probability_images", "uncertainty"):
            if getattr(self, name) and not any(
                (self.root / name / f"{case.identifier}{ending}").is_file() for ending in MAP_ENDINGS
            ):
                return False
        return all(path.is_file() for path in paths)

    def gather_statistics(self) -> None:
        """Write ``statistics.csv``, of all cases that are there."""
        with lock_folder(self.root, self.OTHER, wait=_LONGEST_BEGIN) if self.part else contextlib.nullcontext():
            gather(self.root / "statistics", self.root / "statistics.csv")

    @contextlib.contextmanager
    def writing(self, case: InputCase) -> Iterator[Path]:
        """Give a folder to write the files of a case into; they get their places when all are whole and on disk."""
        unfinished = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{self._of_part}-", dir=self.root))
        try:
            yield unfinished
            label = unfinished / f"{case.identifier}{case.ending}"
            files = [path for path in sorted(unfinished.rglob("*")) if path.is_file() and path != label]
            for path in [*files, label]:
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
                place = self.root / path.relative_to(unfinished)
                place.parent.mkdir(exist_ok=True)
                os.replace(path, place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
