"""The folders that commands leave their results in: what lies where, and nnU-Net's environment inside a run's."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..common.errors import UserError
from ..common.files import PARTIAL, lock_folder, write_json
from ..common.images.formats import is_hidden

OTHER_OUTPUT = "choose another folder with --output"


@dataclass(frozen=True)
class ResultsFolder:
    """A folder that one process at a time works in; subclasses add the paths."""

    root: Path

    OTHER: ClassVar[str] = OTHER_OUTPUT
    """What to do where the folder cannot be used: the end of a message."""

    @property
    def content(self) -> set[str]:
        """Names of what is there, but for the file of the lock, what systems leave, and halves that a kill left."""
        there = self.root.iterdir() if self.root.exists() else ()
        return {path.name for path in there if not is_hidden(path) and path.suffix != PARTIAL}

    def check_empty(self) -> None:
        """Raise `UserError` if the folder holds anything but the file of its lock."""
        if self.root.exists() and (not self.root.is_dir() or self.content):
            raise UserError(f"{self.root} exists and is not empty; {self.OTHER}")

    def check_writable(self) -> None:
        """Raise `UserError` if the folder could not be made or written to; nothing is written."""
        there = next(path for path in (self.root, *self.root.parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise UserError(f"cannot write to the results folder {self.root}: {there} is a file or not yours to change")

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes out of the folder; see `swin_umamba.common.files.lock_folder`."""
        return lock_folder(self.root, self.OTHER)


class ResumableFolder(ResultsFolder):
    """The folder of a run that has settings, and writes ``metrics.json`` last."""

    settings = property(lambda self: self.root / "settings.json")
    metrics = property(lambda self: self.root / "metrics.json")
    weights: property
    """The file of weights that a run ends with."""

    @property
    def is_finished(self) -> bool:
        """Whether a run has gone to its end here."""
        return bool(self.metrics.exists() and self.weights.exists())

    def begin(self, settings: dict[str, Any], locks: contextlib.ExitStack, *, resumed: bool) -> None:
        """Write the settings of a run that has been checked.

        Parameters
        ----------
        settings
            Content of ``settings.json``.
        locks
            Gets the lock of a new run. That of a resumed one is held already.
        resumed
            Whether the folder holds the run.

        Raises
        ------
        UserError
            Another process works in the folder or has started a run there, or it cannot be written to.
        """
        if not resumed:
            locks.enter_context(self.lock())
            # Again: from now on no other process starts a run here.
            self.check_empty()
        try:
            write_json(self.settings, settings)
        except OSError as error:
            raise UserError(f"cannot write to the results folder {self.root}: {error.strerror}") from error

    def check_former(self) -> None:
        """Raise `UserError` unless the folder holds a run that can be resumed."""
        if not self.settings.exists():
            raise UserError(f"--resume: {self.root} holds no run; start one without --resume, or say --output")


class RunFolder(ResumableFolder):
    """Paths of a training. nnU-Net's own folders are inside, so stock nnU-Net commands can use them too."""

    report = property(lambda self: self.root / "report.html")
    loss_curve = property(lambda self: self.root / "loss_curve.png")
    panel = property(lambda self: self.root / "panel.png")
    checkpoint = weights = property(lambda self: self.root / "checkpoint.pth")
    evaluation = property(lambda self: self.root / "evaluation")
    evaluation_as_published = property(lambda self: self.root / "evaluation_as_published")
    log = property(lambda self: self.root / "train.log")
    predictions = property(lambda self: self.root / "predictions")
    raw = property(lambda self: self.root / "nnUNet_raw")
    preprocessed = property(lambda self: self.root / "nnUNet_preprocessed")
    results = property(lambda self: self.root / "nnUNet_results")


def enter_environment(raw: Path, folder: RunFolder) -> None:
    """Point nnU-Net at its three folders. Must come before the first import of ``nnunetv2``."""
    os.environ.update(
        nnUNet_raw=str(raw), nnUNet_preprocessed=str(folder.preprocessed), nnUNet_results=str(folder.results)
    )
