"""Two methods without a network, beside which the networks stand on the sample of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..evaluation.cell_matching import label_components, match_cells, remove_border_cells
from ..paper.metrics import CELL_LABELS

FITTED = 10
"""Training images that either is fitted to; more change little and take longer."""
STEP = 16
"""Between the grey values that are tried as thresholds."""
NEIGHBOURS = 20_000
"""Training pixels, drawn at random, among which the nearest is looked for."""
WINDOW = 5


@dataclass(frozen=True)
class SimpleMethod:
    """A method: ``predict(images, labels, test)`` gives the labels of ``test`` after training images and their labels.

    All are (n, H, W), of dtype uint8. ``how`` says in words what is done.
    """

    name: str
    title: str
    how: str
    predict: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def two_thresholds(images: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Interior is what lies between the two grey values with the best mean F1 of the cells on training images."""
    images, cells = images[:FITTED], [label_components(label > 0) for label in labels[:FITTED]]
    pairs = [(low, high) for low in range(0, 256, STEP) for high in range(low + STEP, 257, STEP)]
    low, high = max(pairs, key=lambda pair: mean_f1(cells, (images >= pair[0]) & (images < pair[1])))
    return ((test >= low) & (test < high)).astype(np.uint8) * CELL_LABELS["interior"]


def nearest_neighbour(images: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Each pixel has the label of the training pixel with the nearest `pixel_features`."""
    from sklearn.neighbors import KNeighborsClassifier

    images, labels = images[:FITTED], labels[:FITTED]
    chosen = np.random.default_rng(0).choice(labels.size, min(NEIGHBOURS, labels.size), replace=False)
    nearest = KNeighborsClassifier(1).fit(pixel_features(images)[chosen], labels.ravel()[chosen])
    predicted: np.ndarray = nearest.predict(pixel_features(test)).reshape(test.shape)
    return predicted


def pixel_features(images: np.ndarray) -> np.ndarray:
    """Grey value of each pixel, and mean and standard deviation of the window around it: (n · H · W, 3)."""
    from scipy.ndimage import uniform_filter

    grey = images.astype(float)
    means, squares = (np.stack([uniform_filter(x, WINDOW) for x in values]) for values in (grey, grey**2))
    return np.stack([grey, means, np.sqrt(np.maximum(squares - means**2, 0))], axis=-1).reshape(-1, 3)


def mean_f1(instances: np.ndarray | list[np.ndarray], interiors: np.ndarray) -> float:
    """Mean F1 of images of numbered cells and of predicted interiors, as the rule ``cells`` has it."""
    pairs = [
        (remove_border_cells(cells), remove_border_cells(label_components(interior)))
        for cells, interior in zip(instances, interiors, strict=True)
    ]
    return float(np.mean([match_cells(reference, found).f1 for reference, found in pairs]))


SIMPLE_METHODS = (
    SimpleMethod(
        "two-thresholds",
        "two thresholds",
        f"cells are what lies between the two grey values with the best F1 on {FITTED} training images",
        two_thresholds,
    ),
    SimpleMethod(
        "nearest-neighbour",
        "nearest neighbour",
        f"a pixel has the label of the training pixel, among {NEIGHBOURS:,} of {FITTED} images, whose grey value, and "
        f"mean and standard deviation of {WINDOW} × {WINDOW} pixels around, are nearest",
        nearest_neighbour,
    ),
)
