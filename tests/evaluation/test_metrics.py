"""DSC and NSD of two masks against the plain implementations, and their edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import surface_distance
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.draw import ellipsoid
from skimage.measure import marching_cubes, mesh_surface_area
from swin_umamba.evaluation import dice_coefficient, normalized_surface_distance

EXACT = {"rel": 0, "abs": 1e-12}
SHAPES = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)
)


def masks(shape):
    # Mostly empty and mostly full masks as well: noise alone has no surface longer than a few pixels.
    fills = [st.nothing(), st.just(False), st.just(True)]
    return st.one_of([hnp.arrays(bool, shape, fill=fill) for fill in fills])


@st.composite
def problems(draw):
    shape = draw(SHAPES)
    spacing = draw(st.lists(st.sampled_from([0.5, 1.0, 1.25, 3.0]), min_size=len(shape), max_size=len(shape)))
    tolerance = draw(st.sampled_from([0.0, 0.7, 1.0, 2.0, 3.3]))
    return draw(masks(shape)), draw(masks(shape)), tuple(spacing), tolerance


@settings(max_examples=300, deadline=None)
@given(problem=problems())
def test_agrees_with_plain_implementations(plain, problem):
    reference, prediction, spacing, tolerance = problem
    assert dice_coefficient(reference, prediction) == pytest.approx(plain.dice(reference, prediction), **EXACT)
    assert normalized_surface_distance(reference, prediction, spacing, tolerance) == pytest.approx(
        plain.nsd(reference, prediction, spacing, tolerance), **EXACT
    )


@settings(max_examples=100, deadline=None)
@given(problem=problems())
def test_properties(problem):
    reference, prediction, spacing, tolerance = problem
    for score in (
        dice_coefficient(reference, prediction),
        normalized_surface_distance(reference, prediction, spacing, tolerance),
    ):
        assert 0 <= score <= 1
    assert dice_coefficient(reference, reference) == 1
    assert normalized_surface_distance(reference, reference, spacing, 0.0) == 1
    assert dice_coefficient(reference, prediction) == dice_coefficient(prediction, reference)
    assert normalized_surface_distance(reference, prediction, spacing, tolerance) == pytest.approx(
        normalized_surface_distance(prediction, reference, spacing, tolerance), **EXACT
    )
    # A scale that is a power of 2 changes no rounding.
    assert normalized_surface_distance(
        reference, prediction, [2 * s for s in spacing], 2 * tolerance
    ) == normalized_surface_distance(reference, prediction, spacing, tolerance)


@settings(max_examples=100, deadline=None)
@given(problem=problems())
def test_equals_surface_distance_to_the_last_bit(problem):
    reference, prediction, spacing, tolerance = problem
    assume(reference.any() and prediction.any())
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
    assert dice_coefficient(reference, prediction) == surface_distance.compute_dice_coefficient(reference, prediction)
    assert normalized_surface_distance(
        reference, prediction, spacing, tolerance
    ) == surface_distance.compute_surface_dice_at_tolerance(distances, tolerance)


@pytest.mark.parametrize("shape", [(6, 7), (4, 5, 6), (5, 5, 1)])
def test_empty_masks_are_defined(shape):
    empty = np.zeros(shape, dtype=bool)
    full = ~empty
    spacing = (1.0,) * len(shape)
    assert dice_coefficient(empty, empty) == normalized_surface_distance(empty, empty, spacing, 1) == 1
    for reference, prediction in ((empty, full), (full, empty)):
        assert dice_coefficient(reference, prediction) == 0
        assert normalized_surface_distance(reference, prediction, spacing, 1) == 0


def test_masks_at_the_border_have_a_surface_there(plain):
    reference = np.zeros((8, 8), dtype=bool)
    reference[:, :4] = True
    prediction = np.zeros_like(reference)
    prediction[:, 4:] = True
    expected = plain.nsd(reference, prediction, (1, 1), 1)
    assert 0 < expected < 1
    assert normalized_surface_distance(reference, prediction, (1, 1), 1) == pytest.approx(expected, **EXACT)


def test_contour_in_2d_is_not_the_surface_of_a_slab(plain):
    """The faces of a slab agree wherever the masks overlap, which lifts the score."""
    reference = np.zeros((14, 14), dtype=bool)
    reference[2:9, 2:9] = True
    prediction = np.roll(reference, 4, axis=0)
    contour = normalized_surface_distance(reference, prediction, (1, 1), 1)
    slab = normalized_surface_distance(reference[..., None], prediction[..., None], (1, 1, 1), 1)
    assert contour == pytest.approx(plain.nsd(reference, prediction, (1, 1), 1), **EXACT)
    assert slab == pytest.approx(plain.nsd(reference[..., None], prediction[..., None], (1, 1, 1), 1), **EXACT)
    assert slab > contour + 0.1


def test_large_masks_agree_with_marching_cubes():
    """All of one surface within reach, none of the other: the score is a ratio of two areas."""
    spacing = (1.0, 1.5, 2.0)
    inner, outer = np.zeros((2, 60, 50, 40), dtype=bool)
    ball = ellipsoid(22, 15, 12) > 0
    outer[tuple(slice(3, 3 + n) for n in ball.shape)] = ball
    # A block deep inside the ball: the ball's surface is farther away than the block's corners are from each other.
    inner[24:28, 17:20, 14:17] = True
    reach = 12.0
    areas = []
    for mask in (inner, outer):
        vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(float), 0.5, spacing=spacing, method="lorensen")
        areas.append(mesh_surface_area(vertices, faces))
    score = normalized_surface_distance(inner, outer, spacing, 40.0)
    assert score == 1
    assert normalized_surface_distance(inner, outer, spacing, reach) == 0
    shell = outer.copy()
    shell[24:28, 17:20, 14:17] = False
    # The shell's surface is that of the ball and that of the block; the ball's is found, the block's is not.
    expected = 2 * areas[1] / (2 * areas[1] + areas[0])
    assert normalized_surface_distance(shell, outer, spacing, 1e-9) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("reference", "prediction", "error", "message"),
    [
        (np.zeros((3, 3)), np.zeros((3, 3), dtype=bool), TypeError, "dtype bool, got float64"),
        ([[True]], np.zeros((1, 1), dtype=bool), TypeError, "numpy array, got list"),
        (np.zeros((3, 3), dtype=bool), np.zeros((3, 4), dtype=bool), ValueError, r"\(3, 3\) and \(3, 4\)"),
        (np.zeros(3, dtype=bool), np.zeros(3, dtype=bool), ValueError, r"2 or 3 dimensions, got shape \(3,\)"),
    ],
)
def test_wrong_masks_are_refused(reference, prediction, error, message):
    with pytest.raises(error, match=message):
        dice_coefficient(reference, prediction)
    with pytest.raises(error, match=message):
        normalized_surface_distance(reference, prediction, (1, 1), 1)


@pytest.mark.parametrize(
    ("spacing", "tolerance", "message"),
    [
        ((1, 1, 1), 1, "spacing must be 2 positive numbers"),
        ((1, 0), 1, "spacing must be"),
        ((1, math.nan), 1, "spacing must be"),
        ((1, 1), -1, "tolerance must be"),
        ((1, 1), math.inf, "tolerance must be"),
    ],
)
def test_wrong_spacing_and_tolerance_are_refused(spacing, tolerance, message):
    mask = np.ones((3, 3), dtype=bool)
    with pytest.raises(ValueError, match=message):
        normalized_surface_distance(mask, mask, spacing, tolerance)
