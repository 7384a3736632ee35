"""Comparisons whose systems were never trained."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest
from swin_umamba.commands import cli
from swin_umamba.comparison.measurements import Epoch, Measurements
from swin_umamba.comparison.panel import draw_comparison
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.datasets.sample import SAMPLE_NAMES
from swin_umamba.jobs import comparison_pipeline
from swin_umamba.runs.folder import RunFolder
from swin_umamba.runs.settings import Settings

BUDGET = ("--epochs", "2", "--iterations", "2", "--batch-size", "2", "--patch-size", "32", "32", "--device", "cpu")


@dataclass
class Pretender:
    """Takes the place of the processes that train: a run is finished at once, with predictions of its own.

    Attributes
    ----------
    finish_run : callable
        Writes what a run leaves behind.
    trained : list of str
        Names of the run folders, in the order in which they were trained.
    paths : list of str
        The same with the folder of the system, of several folds or seeds.
    failures : dict
        What runs fail with, by name; `KeyboardInterrupt` interrupts.
    shifts : dict
        By how many pixels the predictions of a run are beside the reference, by name.
    """

    finish_run: Callable[..., None]
    trained: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    failures: dict[str, str | type[KeyboardInterrupt]] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)

    def __call__(self, run: Path, device: str) -> str | None:
        self.trained.append(run.name)
        self.paths.append(f"{run.parent.name}/{run.name}")
        failure = self.failures.get(run.name, self.failures.get(self.paths[-1]))
        if failure is KeyboardInterrupt:
            raise KeyboardInterrupt
        if failure is not None:
            return failure
        self._finish(RunFolder(run))
        return None

    def _finish(self, folder: RunFolder) -> None:
        settings = Settings.read(folder.settings)
        dataset = open_raw_dataset(settings.dataset or folder.raw / SAMPLE_NAMES[settings.sample])
        shift = self.shifts.get(folder.root.name, len(self.trained))
        cases = dataset.held_out or dataset.training
        if dataset.splits and not dataset.held_out:
            cases = [case for case in cases if case.identifier in dataset.splits[settings.fold]["val"]]
        self.finish_run(folder.root, settings, cases, lambda number: shift + number % 3)
        measured = {number: Epoch(0.25, 700_000_000 + number) for number in range(settings.epochs)}
        Measurements(1_500_000, 2_345_000_000, 0, measured).write(folder.root)
        folder.checkpoint.touch()


@pytest.fixture
def pretender(finish_run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Pretender:
    pretender = Pretender(finish_run)
    monkeypatch.setattr(comparison_pipeline, "run_process", pretender)
    # Drawing takes longer than all else; the tests of the panel ask for it.
    monkeypatch.setattr(comparison_pipeline, "draw_comparison", lambda path, *_: path.touch())
    return pretender


@pytest.fixture
def drawing(pretender: Pretender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The panel is drawn."""
    monkeypatch.setattr(comparison_pipeline, "draw_comparison", draw_comparison)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def discs(make_data_set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with 8 held-out cases."""
    return make_data_set(tmp_path_factory.mktemp("raw"), training=6, held_out=8)


@pytest.fixture
def compare(discs: Path, tmp_path: Path):
    """A function that runs the command on the discs and returns its exit code; the output is ``tmp_path / "out"``."""

    def run(*arguments: object, dataset: Path = discs, budget: tuple[str, ...] = BUDGET) -> int:
        words = [dataset, *budget, "--output", tmp_path / "out", *arguments]
        return cli.main(["compare", *map(str, words)])

    return run


def read_record(folder: Path) -> dict:
    return json.loads((folder / "comparison.json").read_text())
