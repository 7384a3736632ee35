"""Matching of cells against the plain implementation, and the cells metric of one image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment
from skimage.metrics import contingency_table
from swin_umamba.common.images.label_files import LabelImage
from swin_umamba.evaluation import MatchCounts, find_rule, label_components, match_cells, remove_border_cells

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=10)


def noisy_copy(instances, rng, share):
    """Replace a share of the pixels by other labels, so that some cells still overlap by about half."""
    return np.where(rng.random(instances.shape) < share, rng.integers(0, 6, instances.shape), instances)


@st.composite
def instance_pairs(draw):
    shape = draw(SHAPES)
    reference = draw(hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 5, 70000]), fill=st.just(0)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return reference, noisy_copy(reference, rng, draw(st.sampled_from([0.0, 0.2, 0.5, 1.0])))


@settings(max_examples=300, deadline=None)
@given(pair=instance_pairs(), threshold=st.sampled_from([0.2, 0.5, 0.7]))
def test_matching_agrees_with_plain_implementation(plain, pair, threshold):
    assert match_cells(*pair, threshold) == MatchCounts(*plain.cell_counts(*pair, threshold))


@settings(max_examples=100, deadline=None)
@given(mask=hnp.arrays(bool, SHAPES))
def test_components_and_border_agree_with_plain_implementation(plain, mask):
    instances = label_components(mask)
    expected = plain.components(mask)
    # The same partition, whatever the numbers.
    assert len(set(zip(instances.ravel(), expected.ravel(), strict=True))) == len(np.unique(expected))
    assert instances.max() == len(np.unique(expected)) - (not mask.all())
    np.testing.assert_array_equal(remove_border_cells(instances), plain.without_border(instances))


def test_many_cells_agree_with_hungarian_matching():
    """Thousands of cells of which pairs overlap by about a half, matched by SciPy's assignment on the dense matrix."""
    rng = np.random.default_rng(0)
    reference = np.kron(np.arange(1, 1601).reshape(40, 40), np.ones((12, 12), dtype=int))
    prediction = np.roll(reference, (2, 2), axis=(0, 1))
    prediction = np.where(rng.random(reference.shape) < 0.1, 0, prediction)
    overlap = contingency_table(reference, prediction, sparse_type="array").toarray()
    sizes = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True)
    iou = (overlap / np.maximum(sizes - overlap, 1))[1:, 1:]
    rows, columns = linear_sum_assignment(iou >= 0.5, maximize=True)
    found = int((iou[rows, columns] >= 0.5).sum())
    assert 100 < found < 1500
    counts = match_cells(reference, prediction)
    assert counts == MatchCounts(found, iou.shape[1] - found, iou.shape[0] - found)


def test_a_cell_split_into_equal_halves_matches_once():
    """Both halves reach an IoU of exactly 0.5; one is the cell, the other too much."""
    reference = np.zeros((10, 10), dtype=int)
    reference[3:7, 3:7] = 1
    prediction = reference.copy()
    prediction[5:7, 3:7] = 2
    assert match_cells(reference, prediction) == MatchCounts(1, 1, 0)
    assert match_cells(prediction, reference) == MatchCounts(1, 0, 1)


def test_f1():
    assert MatchCounts(2, 1, 1).f1 == pytest.approx(2 / 3, abs=1e-12)
    assert MatchCounts(0, 3, 2).f1 == 0
    assert MatchCounts(0, 0, 0).f1 == 1


@settings(max_examples=100, deadline=None)
@given(pair=instance_pairs(), labels=hnp.arrays(np.uint8, (8, 8), elements=st.integers(0, 2)))
def test_case_agrees_with_plain_implementation(plain, pair, labels):
    reference = np.zeros((8, 8), dtype=np.int32)
    height, width = (min(8, size) for size in pair[0].shape)
    reference[:height, :width] = pair[0][:8, :8]
    found, vain, missed = plain.cell_counts(
        plain.without_border(reference), plain.without_border(plain.components(labels == 1))
    )
    expected = 2 * found / (2 * found + vain + missed) if found + vain + missed else 1.0
    case = find_rule("cells").score(LabelImage(reference, (1, 1)), LabelImage(labels, (1, 1)))
    assert case.case_means["f1"] == pytest.approx(expected, rel=0, abs=1e-12)
    assert case.counts["true_positives"] == found
    assert case.counts["reference_cells"] == found + missed
    assert case.counts["predicted_cells"] == found + vain


def test_kinds_of_masks():
    cells = np.zeros((12, 12), dtype=np.uint8)
    cells[3:6, 3:6], cells[6:9, 3:6] = 1, 2
    image = LabelImage(cells, (1, 1))
    instances, interior = (replace(find_rule("cells"), masks=(kind, kind)) for kind in ("instances", "interior"))
    assert instances.score(image, image).counts["true_positives"] == 2
    # As interior and boundary: one cell.
    assert interior.score(image, image).counts["true_positives"] == 1


def test_wrong_arguments_are_refused():
    cells = np.ones((3, 3), dtype=int)
    with pytest.raises(ValueError, match=r"one shape, got \(3, 3\) and \(3, 2\)"):
        match_cells(cells, cells[:, :2])
    with pytest.raises(ValueError, match="threshold must be above 0"):
        match_cells(cells, cells, 0)
