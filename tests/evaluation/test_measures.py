"""HD95, ASSD, volume error, precision, recall, lesion F1 against plain implementations, MONAI, surface-distance."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import surface_distance
import torch
from monai.metrics import ConfusionMatrixMetric
from scipy import ndimage
from swin_umamba.common.errors import UserError
from swin_umamba.common.images.label_files import LabelImage
from swin_umamba.common.typed_json import as_json, from_json
from swin_umamba.evaluation import find_rule
from swin_umamba.evaluation.held_out import summarise
from swin_umamba.evaluation.measure_names import ERRORS, FURTHER, MEASURES, PRIMARY, parse_measures
from swin_umamba.evaluation.measures import MaskPair, score_pair
from swin_umamba.evaluation.rules import with_measures
from swin_umamba.evaluation.scores import Evaluation
from swin_umamba.runs.record import HeldOutScores

SHAPES = {(17, 13): (1.0, 1.0), (9, 21): (0.7, 1.9), (1, 8): (1.0, 3.0), (6, 7, 5): (3.0, 0.8, 1.1)}


def make_pair(reference, prediction, spacing=None):
    return MaskPair(reference, prediction, spacing or (1.0,) * reference.ndim, 1.0)


def random_masks(shape, seed):
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=shape), 1.0) for _ in range(2)]
    reference = smooth[0] > rng.uniform(-0.1, 0.25)
    return reference, smooth[0] + 0.6 * smooth[1] > rng.uniform(-0.1, 0.25)


@pytest.fixture(params=[(shape, seed) for shape in SHAPES for seed in range(6)], ids=str)
def masks(request):
    shape, seed = request.param
    reference, prediction = random_masks(shape, seed)
    return SimpleNamespace(reference=reference, prediction=prediction, spacing=SHAPES[shape])


def pixels(mask):
    return set(zip(*np.nonzero(mask), strict=True))


def plain_components(mask):
    """Sets of pixels, by flood fill over all neighbours."""
    left, found = pixels(mask), []
    while left:
        component, edge = set(), [left.pop()]
        while edge:
            here = edge.pop()
            component.add(here)
            near = {there for there in left if max(abs(a - b) for a, b in zip(here, there, strict=True)) == 1}
            left -= near
            edge += near
        found.append(component)
    return found


def plain_directed(own, other):
    """Distances of surface elements to the nearest of the other surface, with their sizes, in order."""
    return sorted((min(math.dist(point, there) for there, _ in other), size) for point, size in own)


def plain_scores(masks, plain):
    """All six from the definitions in docs/evaluation.md."""
    r, p = pixels(masks.reference), pixels(masks.prediction)
    if not r and not p:
        return {key: 0.0 if key in ERRORS else 1.0 for key in FURTHER}
    diagonal = math.sqrt(sum((n * s) ** 2 for n, s in zip(masks.reference.shape, masks.spacing, strict=True)))
    if not r or not p:
        return {"hd95": diagonal, "assd": diagonal, "rve": 1.0, "precision": 0.0, "recall": 0.0, "lesion_f1": 0.0}
    surfaces = [plain.surface_elements(mask, masks.spacing) for mask in (masks.reference, masks.prediction)]
    directed = [plain_directed(*surfaces), plain_directed(*surfaces[::-1])]
    percentiles = []
    for elements in directed:
        total, reached = math.fsum(size for _, size in elements), 0.0
        for distance, size in elements:
            reached += size
            if reached >= 0.95 * total - 1e-9 * total:
                percentiles.append(distance)
                break
    both = [element for elements in directed for element in elements]
    lesions, found = plain_components(masks.reference), plain_components(masks.prediction)
    true_positives = sum(1 for lesion in lesions if lesion & p)
    false_positives = sum(1 for lesion in found if not lesion & r)
    false_negatives = len(lesions) - true_positives
    return {
        "hd95": max(percentiles),
        "assd": math.fsum(d * size for d, size in both) / math.fsum(size for _, size in both),
        "rve": abs(len(p) - len(r)) / len(r),
        "precision": len(r & p) / len(p),
        "recall": len(r & p) / len(r),
        "lesion_f1": 2 * true_positives / (2 * true_positives + false_positives + false_negatives),
    }


def test_each_measure_is_what_the_page_defines(masks, plain):
    pair = make_pair(masks.reference, masks.prediction, masks.spacing)
    assert {key: score_pair(key, pair) for key in FURTHER} == pytest.approx(plain_scores(masks, plain), rel=1e-6)


def test_distances_are_those_of_surface_distance(masks):
    if not masks.reference.any() or not masks.prediction.any():
        pytest.skip("surface-distance 0.1 fails for an empty mask")
    distances = surface_distance.compute_surface_distances(masks.reference, masks.prediction, masks.spacing)
    pair = make_pair(masks.reference, masks.prediction, masks.spacing)
    theirs = surface_distance.compute_robust_hausdorff(distances, 95)
    # Where a sum of areas comes to 95 % but for its rounding, theirs may take the next element.
    ours = score_pair("hd95", pair)
    assert ours == pytest.approx(theirs) or ours == surface_distance.compute_robust_hausdorff(distances, 95 - 1e-6)
    means = surface_distance.compute_average_surface_distance(distances)
    areas = distances["surfel_areas_gt"].sum(), distances["surfel_areas_pred"].sum()
    assert score_pair("assd", pair) == pytest.approx(np.average(means, weights=areas))


def test_precision_and_recall_are_monais(masks):
    pair = make_pair(masks.reference, masks.prediction, masks.spacing)
    if pair.is_absent or pair.is_missed or pair.is_invented:
        pytest.skip("MONAI has no number there")
    metric = ConfusionMatrixMetric(metric_name=["precision", "recall"])
    metric(*(torch.from_numpy(mask)[None, None].float() for mask in (masks.prediction, masks.reference)))
    for key, value in zip(("precision", "recall"), metric.aggregate(), strict=True):
        assert score_pair(key, pair) == pytest.approx(float(value))


def test_by_hand():
    """A square of 4 × 4 that is predicted two pixels to the right, and a far pixel that was not there."""
    reference = np.zeros((20, 30), dtype=bool)
    reference[4:8, 4:8] = True
    prediction = np.roll(reference, 2, axis=1)
    pair = make_pair(reference, prediction, (1.0, 0.5))
    assert score_pair("hd95", pair) == pytest.approx(1.0)
    assert (score_pair("rve", pair), score_pair("precision", pair), score_pair("recall", pair)) == (0, 0.5, 0.5)
    assert score_pair("lesion_f1", pair) == 1
    prediction[18, 28] = True
    pair = make_pair(reference, prediction, (1.0, 0.5))
    assert score_pair("lesion_f1", pair) == pytest.approx(2 / 3)
    assert score_pair("rve", pair) == pytest.approx(1 / 16)


def test_hd95_is_of_each_surface_by_itself():
    """In a pool of both, as MedPy's, what is far from a twentieth of one surface alone would be lost: HD95 0."""
    rows, columns = np.mgrid[:200, :200]
    reference = (rows - 100) ** 2 + (columns - 100) ** 2 < 40**2
    prediction = reference.copy()
    prediction[5:10, 5:10] = True
    assert 89 < score_pair("hd95", make_pair(reference, prediction)) < 90


@pytest.mark.parametrize("key", MEASURES)
def test_missing_an_object_costs_as_much_as_anything(key):
    """In MONAI's HD95 it is NaN and drops out, so that missing it would improve the mean."""
    mask, empty = np.zeros((12, 16), dtype=bool), np.zeros((12, 16), dtype=bool)
    mask[2:9, 3:5] = True
    far = np.zeros_like(mask)
    far[-1, -1] = True
    worse, perfect = (max, 0.0) if key in ERRORS else (min, 1.0)
    spacing = (2.0, 1.0)
    missed, invented = (make_pair(*masks, spacing) for masks in ((mask, empty), (empty, mask)))
    for pair in (missed, invented):
        score = score_pair(key, pair)
        assert math.isfinite(score)
        assert score == worse(score, score_pair(key, make_pair(mask, far, spacing)), perfect)
    if key in ("hd95", "assd"):
        assert score_pair(key, missed) == score_pair(key, invented) == math.hypot(24, 16)
    assert score_pair(key, make_pair(empty, empty, spacing)) == score_pair(key, make_pair(mask, mask)) == perfect


def image(labels):
    return LabelImage(np.array(labels, dtype=np.uint8), (1.0, 1.0))


@pytest.fixture
def rule():
    """A function that gives a rule, with all measures of two labels."""
    labels = {"one": 1, "two": 2}

    def make(metric):
        return replace(
            with_measures(find_rule(metric), tuple(MEASURES)), labels=labels, tolerances={"one": 1, "two": 1}
        )

    return make


REFERENCE = image([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
WITHOUT = image(np.zeros((3, 4)))
WITH_TWO = image([[1, 1, 0, 0], [1, 1, 0, 2], [0, 0, 0, 2]])


def test_misses_are_counted_beside_the_means(rule):
    chosen = rule("labels")
    cases = {"a": chosen.score(REFERENCE, WITHOUT), "b": chosen.score(REFERENCE, WITH_TWO)}
    assert (cases["a"].missed, cases["a"].invented, cases["a"].absent) == (("one",), (), ("two",))
    assert (cases["b"].missed, cases["b"].invented, cases["b"].absent) == ((), ("two",), ())
    summary = Evaluation(chosen, cases, {}).summary()
    assert summary["counts"] == {"missed": 1, "invented": 1}
    assert summary["hd95"]["per_class"]["one"]["mean"] == pytest.approx((5.0 + 0.0) / 2)
    # A label that neither has does not count by this rule.
    assert summary["hd95"]["per_class"]["two"] == {"mean": 5.0, "std": 0.0, "n": 1}


def test_a_class_in_neither_scores_what_is_best_in_a_run(rule):
    scores = rule("held-out").score(REFERENCE, REFERENCE)
    assert {key: values["two"] for key, values in scores.per_class.items()} == {
        key: 0.0 if key in ERRORS else 1.0 for key in MEASURES
    }


def test_a_runs_record_has_them_all_and_reads_them_back(rule):
    chosen = rule("held-out")
    scores = {"a": chosen.score(REFERENCE, WITHOUT), "b": chosen.score(REFERENCE, WITH_TWO)}
    record = from_json(HeldOutScores, summarise(scores))
    assert list(record.by_metric) == list(MEASURES)
    assert record.further["hd95"].per_class["one"].mean == pytest.approx(2.5)
    assert record.per_case["a"].missed == ("one",)
    assert from_json(HeldOutScores, as_json(record)) == record
    former = summarise(scores)
    del former["further"]
    for case in former["per_case"].values():
        del case["further"], case["missed"], case["invented"]
    assert list(from_json(HeldOutScores, former).by_metric) == list(PRIMARY)


def test_names_are_read_with_hyphens_and_checked():
    assert parse_measures("HD95, lesion-f1") == ("hd95", "lesion_f1")
    for text, message in (("hd96", "there is no measure 'hd96'"), ("", "names no measure"), ("rve,rve", "rve twice")):
        with pytest.raises(UserError, match=message):
            parse_measures(text)


@pytest.mark.parametrize(
    ("metric", "as_published", "message"),
    [
        ("cells", False, "cells is scored by F1 alone"),
        ("abdomen", True, "the released scripts compute DSC and NSD alone"),
    ],
)
def test_rules_that_have_no_further_measures_say_so(metric, as_published, message):
    with pytest.raises(UserError, match=message):
        with_measures(find_rule(metric, as_published), ("hd95",))
