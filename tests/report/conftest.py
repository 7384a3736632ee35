"""Finished runs that were never trained: real images, predictions and scores, and invented curves."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from skimage.io import imread, imsave
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.evaluation.held_out import score_cases, summarise
from swin_umamba.report.run_page import write_page
from swin_umamba.runs.settings import Settings

EPOCHS = 4


@pytest.fixture
def make_run(make_data_set: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A function that makes the results folder of a run on discs, each prediction shifted a bit further."""
    return functools.partial(_make_run, make_data_set, tmp_path)


@pytest.fixture(scope="session")
def usual_run(make_data_set: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four held-out cases with its page, to be looked at only."""
    root = _make_run(make_data_set, tmp_path_factory.mktemp("usual"))
    write_page(root)
    return root


def _make_run(
    make_data_set: Callable[..., Path],
    parent: Path,
    held_out: int = 4,
    labels: dict[str, int] | None = None,
    change: Callable[[dict], Any] = lambda metrics: None,
) -> Path:
    folder = make_data_set(parent / "raw", training=1, held_out=held_out)
    if labels is not None:
        path = folder / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "labels": labels}))
    dataset = open_raw_dataset(folder)
    root = parent / "run"
    (root / "predictions").mkdir(parents=True)
    for shift, case in enumerate(dataset.held_out):
        label = np.roll(imread(case.label), shift + 1, axis=1)
        imsave(root / "predictions" / f"{case.identifier}.png", label, check_contrast=False)
    scores = score_cases(dataset, dataset.held_out, root / "predictions", NaturalImage2DIO(), tolerance=1.0)
    settings = Settings(dataset=str(folder), epochs=EPOCHS, patch_size=(32, 32), batch_size=2)
    metrics = {
        "dataset": dataset.name,
        "model": settings.model,
        "held_out": summarise(scores) if scores else None,
        "held_out_from": "labelsTs",
        "training": {
            "trainer": settings.trainer,
            "parameters": 27_489_228,
            "batch_size": 2,
            "patch_size": [32, 32],
            "train_loss": [0.5, 0.1, -0.2, -0.3],
            "validation_loss": [0.6, 0.2, -0.1, -0.2],
            "validation_dice": [0.1, 0.4, 0.7, 0.8],
            "learning_rate": [1e-3, 8e-4, 5e-4, 2e-4],
            "processes": 1,
            "pretrained": None,
        },
        "evaluation": None,
        "evaluation_as_published": None,
        "not_evaluated": {},
        "settings": settings.as_json(),
        "seconds": {"preprocessing": 3.0, "training": 65.0, "epochs": [16.0, 15.0, 17.0, 17.0], "total": 70.0},
        "finished": "2026-01-02T03:04:05+00:00",
        "device": "x86_64, AVX512",
        "device_type": "cpu",
        "threads": 2,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
    }
    change(metrics)
    (root / "metrics.json").write_text(json.dumps(metrics))
    (root / "settings.json").write_text(json.dumps(metrics["settings"]))
    return root
