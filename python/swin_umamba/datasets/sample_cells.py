"""A sample of cells: drawn images in which intensity does not tell nuclei from the rest, by a recipe of this module.

Nuclei are ellipses that may touch. Their mean grey values are drawn from the same range as those of the background and
of blurred spots that are no cells; what tells them is their fine texture and a thin darker rim. So thresholds do not
find them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..common.files import write_json
from ..paper.data_sets import INSTANCES
from ..paper.metrics import CELL_LABELS

CELLS_NAME = "Dataset153_SampleCells"
SIZE = 192
COUNTS = {"training": 40, "validation": 6, "held-out": 16}
SEED = 153

_NUCLEI = (16, 28)
_SPOTS = (8, 14)
_RADII = (7.0, 12.0)
_TRIES = 400


def draw_cells(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image.

    Returns
    -------
    image : numpy.ndarray of shape (SIZE, SIZE), uint8
    instances : numpy.ndarray of shape (SIZE, SIZE), uint16
        0 is background, every other value one nucleus.
    """
    from scipy.ndimage import binary_erosion, gaussian_filter

    def texture(sigma: float) -> np.ndarray:
        field = gaussian_filter(rng.normal(size=(SIZE, SIZE)), sigma, mode="reflect")
        scaled: np.ndarray = field / field.std()
        return scaled

    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    slope = rng.normal(size=2)
    image = 110 + 22 * texture(14) + 25 * (slope[0] * rows + slope[1] * columns)
    for _ in range(rng.integers(*_SPOTS)):
        spot = gaussian_filter(_ellipse(rng).astype(float), 2.5)
        image += spot * rng.uniform(-45, 45)
    instances = np.zeros((SIZE, SIZE), dtype=np.uint16)
    fine = texture(1.1)
    wanted, number = rng.integers(*_NUCLEI), 0
    for _ in range(_TRIES):
        if number == wanted:
            break
        nucleus = _ellipse(rng)
        # They may touch, and overlap by a little, which the earlier one keeps.
        if (instances[nucleus] > 0).mean() > 0.08:
            continue
        number += 1
        nucleus &= instances == 0
        instances[nucleus] = number
        rim = nucleus & ~binary_erosion(nucleus, iterations=2)
        image[nucleus] += rng.uniform(-30, 30)
        image[nucleus] += 20 * fine[nucleus]
        image[rim] -= 14
    image = gaussian_filter(image, 0.6) + rng.normal(0, 4, (SIZE, SIZE))
    return np.clip(np.round(image), 0, 255).astype(np.uint8), instances


def _ellipse(rng: np.random.Generator) -> np.ndarray:
    centre, angle = rng.uniform(0, SIZE, 2), rng.uniform(0, np.pi)
    radii = rng.uniform(*_RADII, 2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    y, x = rows - centre[0], columns - centre[1]
    along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    inside: np.ndarray = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
    return inside


def interior_and_boundary(instances: np.ndarray) -> np.ndarray:
    """Labels that a network learns: the outermost pixels of each cell are boundary, the others interior."""
    from skimage.segmentation import find_boundaries

    boundary = find_boundaries(instances, mode="inner")
    labels = np.where(instances > 0, CELL_LABELS["interior"], 0)
    return np.where(boundary, CELL_LABELS["boundary"], labels).astype(np.uint8)


def write_cells(folder: Path) -> None:
    """Write the data set into an empty folder, with the numbered nuclei of the held-out images beside it."""
    from skimage.io import imsave

    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs", INSTANCES):
        (folder / name).mkdir()
    rng = np.random.default_rng(SEED)
    cases: dict[str, list[str]] = {role: [] for role in COUNTS}
    for role, count in COUNTS.items():
        part = "Ts" if role == "held-out" else "Tr"
        for _ in range(count):
            case = f"cells_{sum(map(len, cases.values())):03d}"
            cases[role].append(case)
            image, instances = draw_cells(rng)
            imsave(folder / f"images{part}" / f"{case}_0000.png", image, check_contrast=False)
            labels = interior_and_boundary(instances)
            imsave(folder / f"labels{part}" / f"{case}.png", labels, check_contrast=False)
            if role == "held-out":
                imsave(folder / INSTANCES / f"{case}.png", instances, check_contrast=False)
    write_json(folder / "splits_final.json", [{"train": cases["training"], "val": cases["validation"]}])
    write_json(
        folder / "dataset.json",
        {
            "name": CELLS_NAME,
            "description": "Drawn images of textured nuclei among blurred spots of the same grey values",
            "reference": "swin_umamba.datasets.sample_cells",
            "channel_names": {"0": "grey"},
            "labels": {"background": 0, **CELL_LABELS},
            "numTraining": len(cases["training"]) + len(cases["validation"]),
            "file_ending": ".png",
        },
    )
