"""Plain implementations of the metrics, by loops and all pairs of points, against which the package is tested.

They share no code with the package. The one table they take from surface-distance is that of the marching cubes'
normals in 3-D, since 44 of the 256 neighbourhoods can be cut in more than one way.
"""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from surface_distance.lookup_tables import _NEIGHBOUR_CODE_TO_NORMALS, ENCODE_NEIGHBOURHOOD_3D_KERNEL


def dice(reference, prediction):
    r = set(zip(*np.nonzero(reference), strict=True))
    p = set(zip(*np.nonzero(prediction), strict=True))
    return 2 * len(r & p) / (len(r) + len(p)) if r or p else 1.0


def contour_length(window, spacing):
    """Length of the contour of marching squares inside a 2 × 2 window."""
    (a, b), (c, d) = window
    half_diagonal = math.hypot(*spacing) / 2
    filled = sum((a, b, c, d))
    if filled in (1, 3):
        return half_diagonal
    if filled == 2:
        if a == b:
            return spacing[1]
        return spacing[0] if a == c else 2 * half_diagonal
    return 0.0


def surface_area(window, spacing):
    """Area of the surface of marching cubes inside a 2 × 2 × 2 window."""
    code = sum(
        int(ENCODE_NEIGHBOURHOOD_3D_KERNEL[corner]) for corner in itertools.product((0, 1), repeat=3) if window[corner]
    )
    area = 0.0
    for n in _NEIGHBOUR_CODE_TO_NORMALS[code]:
        area += math.sqrt(
            (n[0] * spacing[1] * spacing[2]) ** 2
            + (n[1] * spacing[0] * spacing[2]) ** 2
            + (n[2] * spacing[0] * spacing[1]) ** 2
        )
    return area


def surface_elements(mask, spacing):
    """Every window that the surface passes: its centre, and its part of the surface."""
    padded = np.pad(mask, 1)
    size = contour_length if mask.ndim == 2 else surface_area
    elements = []
    for corner in itertools.product(*(range(n - 1) for n in padded.shape)):
        window = padded[tuple(slice(i, i + 2) for i in corner)]
        if window.any() and not window.all():
            elements.append(([i * s for i, s in zip(corner, spacing, strict=True)], size(window, spacing)))
    return elements


def nsd(reference, prediction, spacing, tolerance):
    r, p = surface_elements(reference, spacing), surface_elements(prediction, spacing)
    if not r and not p:
        return 1.0
    within = 0.0
    for own, other in ((r, p), (p, r)):
        for point, size in own:
            if other and min(math.dist(point, there) for there, _ in other) <= tolerance:
                within += size
    return within / sum(size for _, size in r + p)


def components(mask):
    """Connected components with diagonal neighbours, numbered by flood fill."""
    numbers = np.zeros(mask.shape, dtype=int)
    for number, start in enumerate(zip(*np.nonzero(mask), strict=True), start=1):
        stack = [start] if not numbers[start] else []
        while stack:
            y, x = stack.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not numbers[y, x]:
                numbers[y, x] = number
                stack += [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return numbers


def without_border(instances):
    height, width = instances.shape
    touching = {
        int(instances[y, x])
        for y in range(height)
        for x in range(width)
        if min(y, x, height - 1 - y, width - 1 - x) < 2
    }
    return np.where(np.isin(instances, list(touching)), 0, instances)


def cell_counts(reference, prediction, threshold=0.5):
    """True positives by trying all ways to grow a matching, then false positives and false negatives."""
    cells = [sorted(set(image.ravel().tolist()) - {0}) for image in (reference, prediction)]

    def overlaps(i, j):
        r, p = reference == i, prediction == j
        return (r & p).sum() / (r | p).sum() >= threshold

    partners = {i: [j for j in cells[1] if overlaps(i, j)] for i in cells[0]}

    def most(remaining, used):
        if not remaining:
            return 0
        first, *rest = remaining
        return max([most(rest, used), *(1 + most(rest, used | {j}) for j in partners[first] if j not in used)])

    found = most(cells[0], frozenset())
    return found, len(cells[1]) - found, len(cells[0]) - found


def pytest_configure(config):
    # surface-distance 0.1 names SciPy's functions by their old modules.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:surface_distance")


@pytest.fixture(scope="session")
def plain():
    """The plain implementations."""
    return SimpleNamespace(
        dice=dice,
        nsd=nsd,
        surface_elements=surface_elements,
        components=components,
        without_border=without_border,
        cell_counts=cell_counts,
    )
