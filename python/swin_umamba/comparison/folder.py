"""The folder of a comparison: one run folder for each system, and what is made of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..common.errors import UserError
from ..common.files import link_atomically, write_json
from ..common.text import one_line
from ..common.typed_json import load_json
from ..runs.folder import ResultsFolder, RunFolder
from ..runs.settings import Settings
from .shared_settings import SHARED, shared_settings
from .systems import ComparedSystem


class ComparisonFolder(ResultsFolder):
    """Paths of a comparison."""

    record = property(lambda self: self.root / "comparison.json")
    table = property(lambda self: self.root / "comparison.md")
    values = property(lambda self: self.root / "comparison.csv")
    page = property(lambda self: self.root / "comparison.html")
    panel = property(lambda self: self.root / "comparison.png")
    raw = property(lambda self: self.root / "nnUNet_raw")
    preprocessed = property(lambda self: self.root / "nnUNet_preprocessed")

    def run(self, system: ComparedSystem) -> RunFolder:
        """Where a system is trained."""
        return RunFolder(self.root / system.name)

    def check(self, systems: Sequence[ComparedSystem]) -> None:
        """Raise `UserError` unless the folder is new, or holds a comparison that these systems belong to."""
        if not self.root.exists():
            return
        if not self.root.is_dir() or (self.content and not self.record.exists()):
            raise UserError(f"{self.root} exists and is neither empty nor a comparison; {self.OTHER}")
        try:
            if self.record.exists():
                values = {name: getattr(systems[0].settings, name) for name in SHARED}
                self._read_shared().check_unchanged(values, self.OTHER)
            for system in systems:
                run = self.run(system)
                if run.root.parent != self.root and RunFolder(run.root.parent).settings.exists():
                    raise UserError(
                        f"{run.root.parent.name} was trained once, without --folds and --seeds; {self.OTHER}"
                    )
                if run.settings.exists():
                    Settings.read(run.settings).check_unchanged(vars(system.settings), self.OTHER)
                else:
                    run.check_empty()
        except UserError as error:
            raise UserError(f"{self.root} holds a former comparison: {error}") from error

    @contextlib.contextmanager
    def open(self, systems: Sequence[ComparedSystem]) -> Iterator[None]:
        """Keep other comparisons out of the folder, and make the run folders; those that are there are kept.

        They are ready for ``swin-umamba train --resume``. Data set and preprocessing are the same for all systems, so
        the runs share their folders.

        Raises
        ------
        UserError
            Another process is at work in the folder, or it cannot be written to.
        """
        with self.lock():
            self.check(systems)  # Again: now no other process can change it.
            self._prepare(systems)
            yield

    def _prepare(self, systems: Sequence[ComparedSystem]) -> None:
        try:
            if not self.record.exists():
                write_json(self.record, {"settings": shared_settings(systems[0].settings)})
            for folder in (self.raw, self.preprocessed):
                folder.mkdir(exist_ok=True)
            for system in systems:
                run = self.run(system)
                run.root.mkdir(parents=True, exist_ok=True)
                if not run.settings.exists():
                    write_json(run.settings, system.settings.as_json())
                for shared in (self.raw, self.preprocessed):
                    _link(shared, run.root / shared.name)
        except OSError as error:
            raise UserError(f"cannot write to the folder {self.root}: {error.strerror}") from error

    def link_folds(self, runs: Sequence[ComparedSystem]) -> None:
        """Put the folds of runs together as nnU-Net's commands look for them, in ``nnUNet_results`` of the comparison.

        Parameters
        ----------
        runs
            Finished ones of one seed; each has trained another fold or another network.
        """
        together = RunFolder(self.root).results
        for run in map(self.run, runs):
            for fold in run.results.glob("*/*/fold_*"):
                place = together / fold.relative_to(run.results)
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(fold, place)
                for name in ("plans.json", "dataset.json", "dataset_fingerprint.json"):
                    if (fold.parent / name).exists():
                        link_atomically(fold.parent / name, place.parent / name)

    def _read_shared(self) -> Settings:
        try:
            shared = load_json(self.record)["settings"]
            # The others are each system's own.
            own = {name: value for name, value in Settings(None).as_json().items() if name not in SHARED}
            return Settings.from_json({**own, **shared})
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = one_line(str(error), 100)
            raise UserError(f"cannot read its settings in {self.record}: {reason}; {self.OTHER}") from error


def _link(target: Path, path: Path) -> None:
    """A relative link, so that the comparison may be moved; without links every run has a folder of its own."""
    with contextlib.suppress(OSError, NotImplementedError):
        if not path.is_symlink() and not path.exists():
            path.symlink_to(os.path.relpath(target, path.parent), target_is_directory=True)
