"""Images in the order of an epoch, augmented the same way in whichever process reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..common.errors import UserError
from .images import read_image

Key = tuple[int, int]


class LabelledImages(Dataset[tuple[Tensor, int] | UserError]):
    """Images and the numbers of their classes.

    An item is asked for by its epoch and its index, which with the seed decide its augmentation. So neither
    the number of worker processes nor an interruption changes what is trained on.

    Parameters
    ----------
    samples : sequence of (Path, int)
    transform : callable
        Maps a (3, H, W) tensor to a (3, size, size) one, drawing from torch's default generator.
    seed : int
    """

    def __init__(self, samples: Sequence[tuple[Path, int]], transform: Callable[[Tensor], Tensor], seed: int) -> None:
        self.samples = samples
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> tuple[Tensor, int] | UserError:
        """The image and its class, or what is wrong with the file: an error raised here would lose its words."""
        epoch, index = key
        path, label = self.samples[index]
        try:
            image = read_image(path)
        except UserError as error:
            return error
        words = np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which would seed the GPU's generator too.
            torch.default_generator.manual_seed(int(words[0]))
            return self.transform(image), label


def collate(items: Sequence[tuple[Tensor, int] | UserError]) -> tuple[Tensor, Tensor] | UserError:
    """A batch of images (B, 3, size, size) and labels (B,), or the first error."""
    for item in items:
        if isinstance(item, UserError):
            return item
    images, labels = zip(*items, strict=True)
    return torch.stack(images), torch.tensor(labels)


class TrainingBatches(Sampler[list[Key]]):
    """A new order of all images for each epoch, in batches of which every process takes its share.

    The batches of all processes together are those that one process alone would have. The last, incomplete
    batch is left out.

    Parameters
    ----------
    count : int
        Number of images.
    batch_size : int
        Of all processes together; a multiple of ``world_size``.
    seed : int
    rank, world_size : int
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def __len__(self) -> int:
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count).tolist()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            batch = order[start : start + self.batch_size]
            yield [(self.epoch, index) for index in batch[self.rank :: self.world_size]]


class ValidationBatches(Sampler[list[Key]]):
    """Every image once, over all processes together; parameters as of `TrainingBatches`."""

    def __init__(self, count: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, count, world_size)
        self.share = batch_size // world_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.share)

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(0, len(self.indices), self.share):
            yield [(0, index) for index in self.indices[start : start + self.share]]
