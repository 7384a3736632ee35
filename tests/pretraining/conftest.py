"""A small generated image set, whose classes differ in the direction of their stripes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imsave

TINY_NETWORK = ("--image-size", "32", "--embed-dim", "8", "--depths", "1", "1", "1", "1", "--device", "cpu")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small images gain nothing from more threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_images() -> Callable[..., Path]:
    """A function that writes 8-bit greyscale PNG images of stripes into ``root/PART/CLASS``."""
    return _make_images


def _make_images(
    root: Path, training: int = 12, validation: int = 4, classes: Sequence[str] = ("columns", "rows")
) -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", training), ("val", validation)):
        for axis, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                position = np.indices((40, 48))[1 - axis]
                wave = np.sin(rng.uniform(0, 6) + rng.uniform(0.5, 1) * position)
                image = np.clip(128 + 90 * wave + rng.normal(0, 10, wave.shape), 0, 255).astype(np.uint8)
                imsave(folder / f"{i:03d}.png", image, check_contrast=False)
    return root


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_images(tmp_path_factory.mktemp("images") / "stripes", training=40, validation=20)


@pytest.fixture(scope="session")
def tiny_network() -> tuple[str, ...]:
    """Options for a network and images small enough for tests."""
    return TINY_NETWORK
