"""The folder of a comparison: one run folder for each system, and what is made of them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import UserError
from ..common.files import LOCK, lock_folder, write_json
from ..runs.folder import RunFolder
from ..runs.settings import Settings, check_unchanged, read_settings, settings_from_json
from .systems import SHARED, ComparedSystem, shared_settings

ADVICE = "choose another folder with --output"


@dataclass(frozen=True)
class ComparisonFolder:
    """Paths of a comparison."""

    root: Path

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
        if not self.root.is_dir() or (_content(self.root) - {LOCK} and not self.record.exists()):
            raise UserError(f"{self.root} exists and is neither empty nor a comparison; {ADVICE}")
        try:
            if self.record.exists():
                values = {name: getattr(systems[0].settings, name) for name in SHARED}
                check_unchanged(values, self._read_shared(), ADVICE)
            for system in systems:
                run = self.run(system)
                if run.settings.exists():
                    check_unchanged(vars(system.settings), read_settings(run.settings), ADVICE)
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
        with lock_folder(self.root, ADVICE):
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
                run.root.mkdir(exist_ok=True)
                if not run.settings.exists():
                    write_json(run.settings, system.settings.as_json())
                for shared in (self.raw, self.preprocessed):
                    _link(shared, run.root / shared.name)
        except OSError as error:
            raise UserError(f"cannot write to the folder {self.root}: {error.strerror}") from error

    def _read_shared(self) -> Settings:
        try:
            return settings_from_json(json.loads(self.record.read_text(encoding="utf-8"))["settings"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"cannot read its settings in {self.record}: {error}; {ADVICE}") from error


def _content(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _link(target: Path, path: Path) -> None:
    """A relative link, so that the comparison may be moved; without links every run has a folder of its own."""
    with contextlib.suppress(OSError, NotImplementedError):
        if not path.is_symlink() and not path.exists():
            path.symlink_to(os.path.relpath(target, path.parent), target_is_directory=True)
