"""What several folders of tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from skimage.io import imsave

# Machines differ too much in speed for deadlines. The default run repeats itself, so that a change is judged by what it
# changes; more examples, and others each time: --hypothesis-profile=thorough.
settings.register_profile("default-run", deadline=None, max_examples=20, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("default-run")


@pytest.fixture(scope="session")
def make_data_set() -> Callable[..., Path]:
    """A function that writes an nnU-Net raw data set of PNG discs (label 1) with a core (label 2)."""
    return _make_data_set


def _make_data_set(parent: Path, training: int = 6, held_out: int = 0, size: tuple[int, int] = (44, 40)) -> Path:
    folder = parent / "Dataset901_Discs"
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for part, count in (("Tr", training), ("Ts", held_out)):
        if count:
            (folder / f"images{part}").mkdir(parents=True)
            (folder / f"labels{part}").mkdir()
        for case in range(count):
            centre = rng.uniform(14, 26, size=2)
            distance = np.hypot(rows - centre[0], columns - centre[1])
            label = np.select([distance < 5, distance < 11], [2, 1], 0).astype(np.uint8)
            image = np.clip(60 + 80 * label + rng.normal(0, 8, size), 0, 255).astype(np.uint8)
            name = f"disc_{part.lower()}{case}"
            imsave(folder / f"images{part}" / f"{name}_0000.png", image, check_contrast=False)
            imsave(folder / f"labels{part}" / f"{name}.png", label, check_contrast=False)
    description = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "rim": 1, "core": 2},
        "numTraining": training,
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder
