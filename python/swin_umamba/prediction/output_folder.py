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

from ..common.errors import UserError, last_line
from ..common.files import replace_atomically, write_json
from ..common.text import short_name
from ..common.typed_json import load_json
from ..runs.folder import ResultsFolder
from .input_cases import InputCase

RECORD = "prediction.json"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class OutputFolder(ResultsFolder):
    """Label images ``CASE.ending``, on request ``CASE.npz`` with ``CASE.pkl``, and ``overlays/CASE.png``.

    Attributes
    ----------
    root : pathlib.Path
        The folder.
    probabilities, overlays : bool
        Whether these belong to a case.
    """

    OTHER = "choose another OUTPUT"

    probabilities: bool = False
    overlays: bool = False

    log = property(lambda self: self.root / "predict.log")

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
        self._check_former(record, skip_existing)

    def _check_former(self, record: dict[str, Any], skip_existing: bool) -> None:
        if not self.content:
            return
        if not (self.root / RECORD).exists():
            raise UserError(f"{self.root} is not empty and holds no former predictions; {self.OTHER}")
        if not skip_existing:
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
    def locked(self, record: dict[str, Any], skip_existing: bool) -> Iterator[None]:
        """Make the folder and keep other processes out of it; they may have changed it since it was checked.

        Parameters
        ----------
        record, skip_existing
            See `check`.

        Raises
        ------
        UserError
            Another process is at work in the folder, other predictions are in it, or it cannot be written to.
        """
        with self.lock():
            self._check_former(record, skip_existing)
            yield

    def open(self, record: dict[str, Any], descriptions: dict[str, dict[str, Any]]) -> None:
        """Make the folder, and write down what decides the predictions in it.

        Parameters
        ----------
        record
            Content of ``prediction.json``; a run with ``--skip-existing`` must have the same ``settings``.
        descriptions
            Content of further JSON files by name: nnU-Net's ensembling and postprocessing look for its ``plans.json``
            and ``dataset.json``.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        for leftover in self.root.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        write_json(self.root / RECORD, record)
        for name, content in descriptions.items():
            with replace_atomically(self.root / name) as file:
                # nnU-Net writes NaN into plans, for intensities of a data set without foreground.
                file.write(json.dumps(content, indent=4).encode())

    def is_done(self, case: InputCase) -> bool:
        """Whether all that belongs to a case is there; what is there is whole."""
        paths = [self.root / f"{case.identifier}{case.ending}"]
        if self.probabilities:
            paths += [self.root / f"{case.identifier}{ending}" for ending in (".npz", ".pkl")]
        if self.overlays:
            paths.append(self.root / "overlays" / f"{case.identifier}.png")
        return all(path.is_file() for path in paths)

    @contextlib.contextmanager
    def writing(self, case: InputCase) -> Iterator[Path]:
        """Give a folder to write the files of a case into; they get their places when all are whole and on disk."""
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))
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
