"""The values of dataset.json mean what they say, however they are written."""

from __future__ import annotations

import json

import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from swin_umamba.common.errors import UserError
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.datasets.description import read_description
from swin_umamba.evaluation.dataset_labels import with_dataset_labels
from swin_umamba.evaluation.rules import LABELS

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


@pytest.mark.parametrize("name", ["Ignore", "IGNORE"])
def test_ignore_in_capitals_is_no_class(read, tmp_path, name):
    """nnU-Net would train and score it as one."""
    labels = {"background": 0, "a": 1, name: 2}
    with pytest.raises(UserError, match=f"'{name}' would be a class; what does not count is called 'ignore'"):
        read(labels=labels)
    with pytest.raises(UserError, match=f"'{name}' would be a class"):
        with_dataset_labels(LABELS, tmp_path / "dataset.json")


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "a": 1, "b": 1}, None),
        ({"background": 0, "nothing": 0, "b": 1}, None),
        ({"background": 0, "a": 1, "b": "1"}, None),
        ({"background": 0, "whole": [1, 2], "all": [2, 1], "core": 2}, [1, 1, 2]),
        ({"background": 0, "a": 1, "b": [1], "c": [1, 2]}, [1, 1, 2]),
    ],
)
def test_two_names_of_one_value_are_refused(read, labels, order):
    with pytest.raises(
        UserError, match=r"'labels' gives '.*' and '.*' the same value .*; give each a value of its own"
    ):
        read(labels=labels, regions_class_order=order)


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


LISTED = {"a": {"images": ["a_0000.png"], "label": "a.png"}}
VALUES = (
    None,
    True,
    0,
    -1,
    1.5,
    2**70,
    "",
    "1",
    "x" * 300,
    "\ud800",
    "\n",
    [],
    [0],
    [[1]],
    {},
    {"0": {}},
    [None],
    {"a": [1]},
)


def _places(value, path=()):
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _places(part, (*path, key))


def _replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def test_any_value_at_any_depth_is_taken_or_told_in_a_line(tmp_path):
    regions = {"background": 0, "whole": [1, 2], "core": 2}
    whole = {**PLAIN, "labels": regions, "regions_class_order": [1, 2], "dataset": LISTED}
    whole["overwrite_image_reader_writer"] = "SimpleITKIO"
    path, told = tmp_path / "dataset.json", []
    for place in _places(whole):
        for value in VALUES:
            path.write_text(json.dumps(_replaced(whole, place, value)))
            try:
                taken = read_description(path)
            except UserError as error:
                told += error.lines
            else:
                json.dumps(taken, allow_nan=False).encode()
    assert len(told) > 200
    assert [line for line in told if len(line) > 300 or not line.isprintable()] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000 + "]" * 100_000, "too deep"),
        (json.dumps({"a": [[[]]]}).replace("[[[]]]", "[" * 40 + "]" * 40), "too deep"),
        ('{"numTraining": NaN}', "the number nan"),
        ('{"a": 1' + "0" * 40 + "}", "an integer of 133 bits"),
        ("[]", "one JSON object, got list"),
        ("{", "cannot read"),
        (json.dumps(PLAIN).replace('"b": 2', '"b": 1, "b": 2'), "has the key 'b' twice in one object"),
        (json.dumps(PLAIN)[:-1] + ', "labels": {"background": 0, "c": 1}}', "has the key 'labels' twice in one object"),
        (json.dumps(PLAIN).encode("utf-8-sig"), r"save it as UTF-8 without one \(no BOM\)"),
        (json.dumps(PLAIN).encode("utf-16"), "save it as UTF-8"),
        (b'{"name": "Fu\xdf"}', "no UTF-8 text, from byte 12 on; save it as UTF-8"),
    ],
)
def test_what_is_no_description_is_told_in_a_line(tmp_path, text, reason):
    (tmp_path / "dataset.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=reason) as caught:
        read_description(tmp_path / "dataset.json")
    assert len(str(caught.value)) <= 300


def test_the_number_of_cases_may_be_written_as_a_float(read):
    assert repr(read(numTraining=5.0)["numTraining"]) == "5"
    with pytest.raises(UserError, match=r"no valid 'numTraining': got 5\.5"):
        read(numTraining=5.5)


def test_all_faults_of_a_description_are_told_together(read):
    with pytest.raises(UserError, match="has 4 faults") as caught:
        read(channel_names={"0": 1}, labels={"background": 0, "a": 1.5}, numTraining="5", file_ending="png")
    assert [line.split("'")[1] for line in caught.value.lines[1:]] == list(PLAIN)


FORMER = {
    "name": "Old",
    "tensorImageSize": "3D",
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "tumour"},
    "numTraining": 1,
    "numTest": 0,
    "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    "test": [],
}


@pytest.mark.parametrize("key", ["modality", "training", None])
@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("a_0000.nii.gz", r"nnU-Net 1; .*nnUNetv2_convert_old_nnUNet_dataset {} DatasetXXX_NAME$"),
        ("la_003.nii.gz", r"Medical Segmentation Decathlon; .*nnUNetv2_convert_MSD_dataset -i {}$"),
        (None, r"nnUNetv2_convert_old_nnUNet_dataset {} DatasetXXX_NAME, or .* nnUNetv2_convert_MSD_dataset -i {}$"),
    ],
)
def test_former_forms_are_known_and_their_converter_is_named(tmp_path, key, image, command):
    folder = tmp_path / "Task002_Old"
    (folder / "imagesTr").mkdir(parents=True)
    if image:
        (folder / "imagesTr" / image).touch()
    description = {name: value for name, value in FORMER.items() if key in (name, None) or name == "labels"}
    (folder / "dataset.json").write_text(json.dumps(description))
    for reader in (open_raw_dataset, lambda folder: with_dataset_labels(LABELS, folder / "dataset.json")):
        with pytest.raises(UserError, match=command.format(folder, folder)):
            reader(folder)
