"""The released scripts' numbers against plain code with the same oddities, and where the default departs from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swin_umamba.common.images.label_files import LabelImage
from swin_umamba.evaluation import EvaluationError, find_rule, published_protocols
from swin_umamba.paper.metrics import ORGANS

EXACT = {"rel": 0, "abs": 1e-12, "nan_ok": True}
TOLERANCES = [5, 3, 3, 5, 2, 2, 2, 2, 2, 3, 5, 7, 3]
SPACING = (1.5, 1.5, 2.5)


def image(labels, spacing=None):
    return LabelImage(labels, spacing or (1.0,) * labels.ndim)


@st.composite
def organ_pairs(draw):
    shape = draw(st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(1, 4)))
    # Few organs at a time, among them the three that are cut in z.
    present = st.sampled_from([0, *draw(st.lists(st.integers(1, 13), min_size=1, max_size=2)), 5, 10])
    return tuple(draw(hnp.arrays(np.uint8, shape, elements=present, fill=st.just(0))) for _ in range(2))


def plain_abdomen(plain, reference, prediction, *, published):
    scores = {"dsc": [], "nsd": []}
    for label, tolerance in enumerate(TOLERANCES, start=1):
        r, p = reference == label, prediction == label
        if not r.any():
            values = (1.0, 1.0) if not p.any() else (0.0, 0.0)
        else:
            if label in (5, 6, 10):
                z = sorted(set(np.nonzero(r)[2].tolist()))
                stop = z[-1] if published else z[-1] + 1
                r, p = r[:, :, z[0] : stop], p[:, :, z[0] : stop]
            values = (np.nan, np.nan)
            if r.shape[2]:
                values = (plain.dice(r, p), plain.nsd(r, p, SPACING, tolerance))
        for key, value in zip(("dsc", "nsd"), values, strict=True):
            scores[key].append(float(value))
    return scores


def is_rounded(value: float, exact: float) -> bool:
    """Whether ``value`` is ``exact`` to four digits; either neighbour of a tie, which the last bit of a sum decides."""
    return value in (round(exact - 1e-12, 4), round(exact + 1e-12, 4)) or (np.isnan(value) and np.isnan(exact))


@pytest.mark.parametrize("published", [True, False])
@settings(max_examples=40, deadline=None)
@given(pair=organ_pairs())
def test_abdomen_agrees_with_plain_implementation(plain, published, pair):
    case = find_rule("abdomen", published).score(image(pair[0], SPACING), image(pair[1], SPACING))
    expected = plain_abdomen(plain, *pair, published=published)
    for key in ("dsc", "nsd"):
        assert list(case.per_class[key]) == list(ORGANS)
        seen = list(case.per_class[key].values())
        if published:
            assert all(map(is_rounded, seen, expected[key])), (seen, expected[key])
        else:
            assert seen == pytest.approx(expected[key], **EXACT)


def test_abdomen_one_labelled_slice_is_nan_as_published_alone():
    reference = np.zeros((6, 6, 4), dtype=np.uint8)
    reference[2:4, 2:4, 2] = ORGANS["aorta"]
    case = find_rule("abdomen", as_published=True).score(image(reference), image(reference))
    assert np.isnan(case.per_class["dsc"]["aorta"])
    assert np.isnan(case.per_class["nsd"]["aorta"])
    assert case.case_means == {"dsc": 1.0, "nsd": 1.0}
    assert find_rule("abdomen").score(image(reference), image(reference)).per_class["dsc"]["aorta"] == 1


def test_abdomen_last_labelled_slice_counts_by_default_alone():
    reference = np.zeros((6, 6, 4), dtype=np.uint8)
    reference[2:4, 2:4, 1:4] = ORGANS["esophagus"]
    prediction = reference.copy()
    prediction[..., 3] = 0
    assert (
        find_rule("abdomen", as_published=True).score(image(reference), image(prediction)).per_class["dsc"]["esophagus"]
        == 1
    )
    assert find_rule("abdomen").score(image(reference), image(prediction)).per_class["dsc"]["esophagus"] == 0.8


@st.composite
def instrument_pairs(draw):
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=7))
    labels = st.sampled_from(draw(st.sampled_from([[0, 1, 2], [0, 3], [1, 7], [4]])))
    return tuple(draw(hnp.arrays(np.uint8, shape, elements=labels)) for _ in range(2))


@settings(max_examples=100, deadline=None)
@given(pair=instrument_pairs())
def test_endoscopy_as_published_agrees_with_plain_implementation(plain, pair):
    labels = sorted(set(sorted(set(pair[0].ravel().tolist()))[1:]) | set(sorted(set(pair[1].ravel().tolist()))[1:]))
    if not labels:
        with pytest.raises(EvaluationError, match="released scripts stop"):
            find_rule("endoscopy", as_published=True).score(*map(image, pair))
        return
    slabs = [(pair[0] == label, pair[1] == label) for label in labels]
    dsc = [plain.dice(r, p) for r, p in slabs]
    nsd = [plain.nsd(r[..., None], p[..., None], (1, 1, 1), 2) for r, p in slabs]
    case = find_rule("endoscopy", as_published=True).score(*map(image, pair))
    assert is_rounded(case.case_means["dsc"], float(np.mean(dsc)))
    assert is_rounded(case.case_means["nsd"], float(np.mean(nsd)))
    assert list(case.per_class["nsd"].values()) == pytest.approx(nsd, **EXACT)


@settings(max_examples=100, deadline=None)
@given(pair=instrument_pairs())
def test_endoscopy_by_default_agrees_with_plain_implementation(plain, pair):
    labels = sorted((set(pair[0].ravel().tolist()) | set(pair[1].ravel().tolist())) - {0})
    dsc = [plain.dice(pair[0] == label, pair[1] == label) for label in labels]
    nsd = [plain.nsd(pair[0] == label, pair[1] == label, (1, 1), 2) for label in labels]
    case = find_rule("endoscopy").score(*map(image, pair))
    assert case.case_means["dsc"] == pytest.approx(np.mean(dsc) if dsc else 1.0, **EXACT)
    assert case.case_means["nsd"] == pytest.approx(np.mean(nsd) if nsd else 1.0, **EXACT)


def plain_cells(plain, reference, prediction):
    """Counts of one image or tile, and F1 by precision and recall."""
    r, p = plain.without_border(reference), plain.without_border(prediction)
    found, vain, missed = plain.cell_counts(r, p)
    return found, found + vain, found + missed


def plain_f1(found, predicted, known):
    if not found:
        return 0.0
    precision, recall = found / predicted, found / known
    return round(float(2 * precision * recall / (precision + recall)), 4)


@st.composite
def cell_pairs(draw, sides):
    shape = (draw(sides), draw(sides))
    reference = draw(hnp.arrays(np.uint16, shape, elements=st.integers(0, 4), fill=st.just(0)))
    keep = draw(hnp.arrays(bool, shape, fill=st.just(True)))
    return reference, np.where(keep, reference > 0, 2).astype(np.uint8)


@settings(max_examples=150, deadline=None)
@given(pair=cell_pairs(st.integers(5, 12)))
def test_cells_as_published_agree_with_plain_implementation(plain, pair):
    found, predicted, known = plain_cells(plain, pair[0], plain.components(pair[1] == 1))
    case = find_rule("cells", as_published=True).score(*map(image, pair))
    assert case.case_means["f1"] == pytest.approx(plain_f1(found, predicted, known), **EXACT)
    assert case.counts["reference_cells"] == known
    assert case.counts["predicted_cells"] == predicted
    assert case.counts["false_negatives"] == (known - found if predicted else 0)


@settings(max_examples=60, deadline=None)
@given(pair=cell_pairs(st.integers(11, 24)))
def test_tiles_agree_with_plain_implementation(plain, pair):
    size = 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_protocols, "TILED_FROM_PIXELS", 1)
        patch.setattr(published_protocols, "TILE_SIZE", size)
        case = find_rule("cells", as_published=True).score(*map(image, pair))
    padding = [(0, -n % size) for n in pair[0].shape]
    r, p = np.pad(pair[0], padding), np.pad(plain.components(pair[1] == 1), padding)
    total = np.zeros(3, dtype=int)
    for y in range(0, r.shape[0], size):
        for x in range(0, r.shape[1], size):
            tile = (slice(y, y + size), slice(x, x + size))
            total += plain_cells(plain, r[tile], p[tile])
    assert case.case_means["f1"] == pytest.approx(plain_f1(*total.tolist()), **EXACT)
    assert [case.counts[n] for n in ("true_positives", "predicted_cells", "reference_cells")] == total.tolist()


def test_cells_of_25_megapixels_are_scored_in_tiles_as_published_alone():
    cells = np.zeros((5000, 5000), dtype=np.uint16)
    corners = [(100, 100), (100, 1990), (1990, 3000), (3990, 3000), (4500, 4980), (4980, 50)]
    for number, (y, x) in enumerate(corners, start=1):
        cells[y : y + 20, x : x + 20] = number
    prediction = (cells > 0).astype(np.uint8)
    published = find_rule("cells", as_published=True).score(image(cells), image(prediction))
    # Three cells lie across the tiles' borders and are lost; the two at the image's own border are kept by the padding.
    assert published.counts["reference_cells"] == published.counts["true_positives"] == 3
    default = find_rule("cells").score(image(cells), image(prediction))
    assert default.counts["reference_cells"] == default.counts["true_positives"] == 4


def test_component_numbers_wrap_in_the_reference_type_of_tiled_images(plain):
    prediction = np.zeros((42, 42), dtype=np.uint8)
    prediction[1:41:2, 1:41:2] = 1
    reference = np.zeros((42, 42), dtype=np.uint8)
    reference[20:22, 20:22] = 9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_protocols, "TILED_FROM_PIXELS", 1)
        patch.setattr(published_protocols, "TILE_SIZE", 42)
        case = find_rule("cells", as_published=True).score(image(reference), image(prediction))
    wrapped = plain.components(prediction == 1) % 256
    assert prediction.sum() == 400
    assert case.counts["predicted_cells"] == len(set(plain.without_border(wrapped).ravel().tolist()) - {0})


def test_no_cells_at_all_is_0_as_published_and_1_by_default():
    empty = image(np.zeros((20, 20), dtype=np.uint8))
    assert find_rule("cells", as_published=True).score(empty, empty).case_means["f1"] == 0
    assert find_rule("cells").score(empty, empty).case_means["f1"] == 1
