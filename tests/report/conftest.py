"""Finished runs that were never trained."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.report.run_page import write_page
from swin_umamba.runs.settings import Settings


@pytest.fixture
def make_run(
    make_data_set: Callable[..., Path], finish_run: Callable[..., None], tmp_path: Path
) -> Callable[..., Path]:
    """A function that makes the results folder of a run on discs, each prediction shifted a bit further."""
    return functools.partial(_make_run, make_data_set, finish_run, tmp_path)


@pytest.fixture(scope="session")
def usual_run(
    make_data_set: Callable[..., Path], finish_run: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run of four held-out cases with its page, to be looked at only."""
    root = _make_run(make_data_set, finish_run, tmp_path_factory.mktemp("usual"))
    write_page(root)
    return root


def _make_run(
    make_data_set: Callable[..., Path],
    finish_run: Callable[..., None],
    parent: Path,
    held_out: int = 4,
    labels: dict[str, int] | None = None,
    change: Callable[[dict], Any] = lambda metrics: None,
) -> Path:
    folder = make_data_set(parent / "raw", training=1, held_out=held_out)
    if labels is not None:
        path = folder / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "labels": labels}))
    settings = Settings(dataset=str(folder), epochs=4, patch_size=(32, 32), batch_size=2)
    root = parent / "run"
    finish_run(root, settings, open_raw_dataset(folder).held_out, lambda number: number + 1, change)
    return root
