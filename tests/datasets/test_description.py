"""The values of dataset.json mean what they say, however they are written."""

from __future__ import annotations

import json

import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from swin_umamba.common.errors import UserError
from swin_umamba.datasets.description import read_description

PLAIN = {
    "channel_names": {"0": "MR"},
    "labels": {"background": 0, "a": 1, "b": 2},
    "numTraining": 5,
    "file_ending": ".nii.gz",
}


@pytest.fixture
def read(tmp_path):
    def read(**changes):
        (tmp_path / "dataset.json").write_text(json.dumps({**PLAIN, **changes}))
        return read_description(tmp_path / "dataset.json")

    return read


def test_channels_come_in_the_order_of_their_numbers(read):
    names = {str(index): f"c{index}" for index in (10, 2, 1, 0, *range(3, 10))}
    assert list(read(channel_names=names)["channel_names"].values()) == [f"c{index}" for index in range(11)]


@pytest.mark.parametrize("names", [{"0": "a", "2": "b"}, {"1": "a", "2": "b"}, {"CT": 0, "MR": 1}])
def test_other_keys_of_channels_are_refused(read, names):
    with pytest.raises(UserError, match=r"keys 0, 1, 2, \.\.\. without gaps"):
        read(channel_names=names)


@pytest.mark.parametrize(
    "labels", [{"background": "0", "a": "1", "b": "2"}, {"background": 0, "a": ["1", "2"], "b": "2"}]
)
def test_labels_may_be_text(read, labels):
    order = [1, 2] if isinstance(labels["a"], list) else None
    description = read(labels=labels, regions_class_order=order)
    assert description["labels"] in ({"background": 0, "a": 1, "b": 2}, {"background": 0, "a": [1, 2], "b": 2})
    assert LabelManager(description["labels"], order).all_labels == [0, 1, 2]


def _perfect(labels, order):
    """For each label the one that a perfect network's pixel gets."""
    manager = LabelManager(labels, order)
    values = torch.tensor([[[0, 1, 2, 3]]])
    regions = [region if isinstance(region, tuple) else (region,) for region in manager.foreground_regions]
    logits = torch.stack([torch.isin(values, torch.tensor(region)).float() * 20 - 10 for region in regions])
    return manager.convert_logits_to_segmentation(logits).flatten().tolist()


WHOLE, CORE, TIP = [1, 2, 3], [2, 3], 3


@pytest.mark.parametrize(
    ("regions", "order"),
    [
        ({"whole": WHOLE, "core": CORE, "tip": TIP}, [1, 2, 3]),
        ({"whole": WHOLE, "tip": TIP, "rim": [1, 2]}, [1, 3, 2]),
        ({"whole": WHOLE}, [1]),
        ({"left": [1, 2], "right": 3}, [1, 3]),
    ],
)
def test_regions_that_are_painted_back_are_taken(read, regions, order):
    labels = {"background": 0, **regions}
    description = read(labels=labels, regions_class_order=order)
    painted = _perfect(description["labels"], description["regions_class_order"])
    for values in regions.values():
        values = values if isinstance(values, list) else [values]
        assert [label in values for label in range(4)] == [label in values for label in painted]


@pytest.mark.parametrize(
    ("regions", "order"),
    [
        ({"core": CORE, "tip": TIP, "whole": WHOLE}, [2, 3, 1]),
        ({"whole": WHOLE, "core": CORE, "tip": TIP}, [1, 3, 2]),
        ({"whole": WHOLE, "core": CORE, "tip": TIP}, [3, 2, 1]),
        ({"tip": TIP, "core": CORE, "whole": WHOLE}, [3, 2, 1]),
    ],
)
def test_an_order_that_cannot_paint_regions_back_is_refused_with_a_right_one(read, regions, order):
    labels = {"background": 0, **regions}
    assert _perfect(labels, order) != [0, 1, 2, 3]
    with pytest.raises(UserError, match=r"in the order whole, core, tip and set 'regions_class_order' to \[1, 2, 3\]"):
        read(labels=labels, regions_class_order=order)
    assert _perfect({"background": 0, "whole": WHOLE, "core": CORE, "tip": TIP}, [1, 2, 3]) == [0, 1, 2, 3]
