"""Slices in their order in space: sorted along the normal, and checked to be an even stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..stored import ImageFault

_SAME_DIRECTION = 1e-3
_EVEN = 0.02
_LARGEST_TILT = np.radians(1)
ADVICE = "; --irregular takes it all the same"

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Plane:
    """Where a slice lies, as DICOM states it: in mm, to the left, to the back, upwards.

    Attributes
    ----------
    orientation : tuple of float
        Directions of a row and of a column.
    position : tuple of float
        Of the first pixel.
    spacing : tuple of float
        Size of a pixel along x and y.
    """

    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, float]


@dataclass(frozen=True)
class Stack:
    """An even stack.

    Attributes
    ----------
    order : list of int
        Which of the planes are its slices, from the first along the normal to the last.
    spacing : tuple of float
        Along x, y and z in mm.
    affine : numpy.ndarray
        (4, 4) from (x, y, z) to mm (right, anterior, superior).
    """

    order: list[int]
    spacing: tuple[float, float, float]
    affine: np.ndarray


def stack_of(planes: Sequence[Plane], thickness: float | None, irregular: bool) -> Stack:
    """Sort planes along their normal.

    Parameters
    ----------
    planes : sequence of Plane
        In any order.
    thickness : float or None
        Of a single slice.
    irregular : bool
        Take what else is refused: of planes in other directions those of the most, of those at one place the first,
        and uneven or tilted ones as if they were even.

    Raises
    ------
    ImageFault
        The planes have two directions or sizes of pixels, two lie at one place, or they are uneven or tilted.
    """
    chosen = _one_direction(planes, irregular)
    first = planes[chosen[0]]
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    if abs(np.linalg.norm(row) - 1) > 0.01 or abs(np.linalg.norm(column) - 1) > 0.01 or abs(row @ column) > 0.01:
        raise ImageFault("its rows and columns (ImageOrientationPatient) are not perpendicular")
    if not np.allclose([planes[index].spacing for index in chosen], first.spacing, rtol=1e-3):
        raise ImageFault("its slices have pixels of several sizes")
    normal = np.cross(row, column)
    places = np.array([planes[index].position for index in chosen])
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order])
    if (steps < 1e-3).any():
        n_double = int((steps < 1e-3).sum())
        if not irregular:
            raise ImageFault(
                f"it has {n_double} slices at the place of others, of several times or copies; keep one of each"
                + ADVICE
            )
        order = order[np.concatenate([[True], steps >= 1e-3])]
        steps = np.diff(heights[order])
    if len(order) == 1:
        between = thickness if thickness and thickness > 0 else 1.0
    else:
        between = float(np.median(steps))
        if not irregular:
            _want_even(steps, between)
            _want_upright(places[order], normal)
        else:
            between = float(steps.mean())
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * first.spacing[0], column * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = normal * between, places[order[0]]
    return Stack([chosen[index] for index in order], (*first.spacing, between), _TO_RAS @ affine)


def _one_direction(planes: Sequence[Plane], irregular: bool) -> list[int]:
    groups: list[list[int]] = []
    for index, plane in enumerate(planes):
        for group in groups:
            if np.allclose(planes[group[0]].orientation, plane.orientation, atol=_SAME_DIRECTION):
                group.append(index)
                break
        else:
            groups.append([index])
    groups.sort(key=len, reverse=True)
    if len(groups) > 1 and not irregular:
        raise ImageFault(
            f"its slices lie in {len(groups)} directions ({' and '.join(str(len(group)) for group in groups[:4])} "
            f"slices), as with localizers; take the others out" + ADVICE
        )
    return groups[0]


def _want_even(steps: np.ndarray, between: float) -> None:
    odd = np.abs(steps - between) > max(_EVEN * between, 0.01)
    if not odd.any():
        return
    missing = np.rint(steps[odd] / between) - 1
    if (missing >= 1).all() and np.allclose(steps[odd], (missing + 1) * between, rtol=_EVEN):
        raise ImageFault(
            f"it lacks {int(missing.sum())} slices: some lie {steps[odd].max():.4g} mm apart, most {between:.4g} mm; "
            f"find them" + ADVICE
        )
    raise ImageFault(
        f"its slices lie unevenly, from {steps.min():.4g} to {steps.max():.4g} mm apart; resample it" + ADVICE
    )


def _want_upright(places: np.ndarray, normal: np.ndarray) -> None:
    way = places[-1] - places[0]
    tilt = np.arccos(np.clip(way @ normal / np.linalg.norm(way), -1, 1))
    if tilt > _LARGEST_TILT:
        raise ImageFault(
            f"its slices are shifted against each other, by {np.degrees(tilt):.1f}°, as by a tilted gantry; resample it"
            + ADVICE
        )
