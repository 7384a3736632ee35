"""What happens to images on their way to the classifier."""

from __future__ import annotations

import argparse
import pickle

import numpy as np
import pytest
import torch
from swin_umamba.commands.pretrain import add_arguments
from swin_umamba.pretraining.augmentation import (
    MEAN,
    STD,
    MixImages,
    training_transform,
    validation_transform,
)
from swin_umamba.pretraining.dataset import LabelledImages, TrainingBatches, ValidationBatches
from swin_umamba.pretraining.settings import AUGMENTATIONS


def test_the_command_offers_every_augmentation():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (option,) = [action for action in parser._actions if action.dest == "augmentation"]
    assert option.choices == AUGMENTATIONS


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(40, 200), (32, 32), (20, 25)])
def test_every_augmentation_gives_normalised_images_of_the_size(name, size):
    transform = pickle.loads(pickle.dumps(training_transform(name, 32)))
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    torch.manual_seed(0)
    for _ in range(8):
        result = transform(torch.rand(3, *size))
        assert result.shape == (3, 32, 32)
        assert result.dtype == torch.float32
        values = result * std + mean
        assert (values.min(), values.max()) >= (-1e-5, 0)
        assert values.max() <= 1 + 1e-5


def test_validation_takes_the_centre():
    image = torch.zeros(3, 64, 128)
    image[:, 24:40, 56:72] = 1
    result = validation_transform(28)(image)  # of 32×64 pixels
    bright = result[0] > 0
    assert bright[14, 14]
    assert not bright[2, 2]
    assert torch.equal(bright, bright.flip(0))
    assert torch.equal(bright, bright.flip(1))


def test_a_mixed_target_says_which_part_of_the_image_is_of_which_class():
    # Each image is constant with its label as the value, so a mixed pixel shows the labels it is made of.
    torch.manual_seed(0)
    mix = MixImages(8)
    labels = torch.arange(8)
    kinds = set()
    for _ in range(20):
        images, targets = mix(labels.float()[:, None, None, None].expand(8, 3, 16, 16).contiguous(), labels)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        assert (targets >= 0).all()
        torch.testing.assert_close(images.mean((1, 2, 3)), targets @ labels.float(), atol=1e-4, rtol=0)
        kinds.add(bool(torch.equal(images, images.round())))
    assert kinds == {True, False}  # CutMix keeps the values, mixup does not


def test_an_item_depends_on_seed_epoch_and_index_alone(stripes):
    samples = [(path, 0) for path in sorted((stripes / "train" / "rows").iterdir())[:4]]
    transform = training_transform("strong", 32)
    first = LabelledImages(samples, transform, seed=1)
    before = torch.random.get_rng_state()
    item = first[(5, 2)][0]
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(17)
    assert torch.equal(first[(5, 2)][0], item)
    assert not torch.equal(first[(6, 2)][0], item)
    assert not torch.equal(LabelledImages(samples, transform, seed=2)[(5, 2)][0], item)


def test_the_batches_of_all_processes_are_those_of_one():
    alone = TrainingBatches(23, 6, seed=0)
    shares = [TrainingBatches(23, 6, seed=0, rank=rank, world_size=3) for rank in range(3)]
    for epoch in (0, 1):
        for batches in (alone, *shares):
            batches.epoch = epoch
        whole = list(alone)
        assert len(whole) == len(alone) == 3
        for i, parts in enumerate(zip(*shares, strict=True)):
            assert sorted(key for part in parts for key in part) == sorted(whole[i])
            assert {len(part) for part in parts} == {2}
    alone.epoch = 0
    first = list(alone)
    alone.epoch = 1
    assert [[index for _, index in batch] for batch in alone] != [[index for _, index in batch] for batch in first]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_validation_image_is_seen_once(processes):
    shares = [ValidationBatches(23, 6, rank, processes) for rank in range(processes)]
    indices = [index for batches in shares for batch in batches for _, index in batch]
    assert sorted(indices) == list(range(23))
    assert [len(batches) for batches in shares] == [len(list(batches)) for batches in shares]
    assert np.ptp([len(batches.indices) for batches in shares]) <= 1
