"""The sample data set: what is held out, where it comes from, and that it is whole or not there."""

from __future__ import annotations

import json
import re
import socket

import numpy as np
import pytest
from skimage.io import imread
from swin_umamba.datasets import SAMPLE_NAME, check_cases, open_raw_dataset, prepare_sample
from swin_umamba.datasets.sample import SLABS


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:

        def no_network(*args, **kwargs):
            raise AssertionError("the sample data set must not need the network")

        patch.setattr(socket.socket, "connect", no_network)
        yield prepare_sample(tmp_path_factory.mktemp("raw"))


def _slices(names):
    return sorted(int(re.search(r"z(\d+)", name)[1]) for name in names)


def test_the_nearest_training_or_validation_slice_is_more_than_five_millimetres_from_a_held_out_one(sample):
    held_out = _slices(path.name for path in (sample / "imagesTs").iterdir())
    others = _slices(path.name for path in (sample / "imagesTr").iterdir())
    assert held_out
    assert others
    assert min(abs(a - b) for a in held_out for b in others) > 5


def test_validation_and_training_slices_are_apart_too(sample):
    (split,) = json.loads((sample / "splits_final.json").read_text())
    distances = [abs(a - b) for a in _slices(split["train"]) for b in _slices(split["val"])]
    assert min(distances) > 5
    assert sorted(split["train"] + split["val"]) == sorted(path.stem for path in (sample / "labelsTr").iterdir())


def test_held_out_slabs_lie_between_training_slabs_all_over_the_brain(sample):
    roles = [slab.role for slab in SLABS]
    assert roles.count("held-out") == 3
    assert roles[0] == roles[-1] == "training"


def test_it_is_a_data_set_that_passes_the_checks(sample):
    dataset = open_raw_dataset(sample)
    check_cases(dataset, [*dataset.training, *dataset.held_out])
    assert dataset.classes == {"grey matter": (1,), "white matter": (2,)}
    assert (len(dataset.training), len(dataset.held_out)) == (72, 18)


def test_labels_are_tissues_of_the_image(sample):
    image = imread(sample / "imagesTs" / "mni152_z077_0000.png").astype(float)
    label = imread(sample / "labelsTs" / "mni152_z077.png")
    assert image.shape == label.shape == (233, 197)
    rest, grey, white = (image[label == value].mean() for value in range(3))
    assert rest < grey < white
    # The hemispheres mirror each other, the front of the head and its back do not: rows are anterior to posterior.
    assert np.abs(image - image[:, ::-1]).mean() < np.abs(image - image[::-1]).mean()


def test_a_data_set_that_is_there_is_kept(sample):
    before = (sample / "dataset.json").stat().st_mtime_ns
    assert prepare_sample(sample.parent) == sample
    assert (sample / "dataset.json").stat().st_mtime_ns == before


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("swin_umamba.datasets.sample.write_json", full_disk)
    with pytest.raises(OSError, match="No space"):
        prepare_sample(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path / SAMPLE_NAME).exists()
