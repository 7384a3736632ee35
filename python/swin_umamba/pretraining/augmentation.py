"""From an image of any size to the classifier's input: augmentation, normalisation, mixing of images."""

from __future__ import annotations

from collections.abc import Callable

import kornia.augmentation as augment
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of the ImageNet training images.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# A validation image is enlarged so that its central crop shows this part of it.
CROP_FRACTION = 0.875
LIGHT_SCALE, STRONG_SCALE = (0.5, 1.0), (0.08, 1.0)
RANDAUGMENT_OPERATIONS, RANDAUGMENT_MAGNITUDE = 2, 9
ERASING_PROBABILITY = 0.25


def training_transform(name: str, size: int) -> Callable[[Tensor], Tensor]:
    """What happens to one training image.

    Parameters
    ----------
    name : str
        One of `swin_umamba.pretraining.settings.AUGMENTATIONS`. ``"strong"``: random resized crop of 8 to 100 % of the
        area, horizontal flip, RandAugment (arXiv:1909.13719) with 2 operations at magnitude 9 of 30, random erasing of
        a quarter of the images; the kinds of augmentation of VMamba's and Swin Transformer's ImageNet training.
        ``"light"``: random resized crop of 50 to 100 % and horizontal flip. ``"none"``: as in validation.
    size : int
        Height and width of the result, in pixels.

    Returns
    -------
    callable
        Maps a (3, H, W) tensor in [0, 1] to (3, size, size), normalised. It draws from torch's default generator.
    """
    if name == "none":
        return validation_transform(size)
    light = [
        augment.RandomResizedCrop((size, size), scale=LIGHT_SCALE if name == "light" else STRONG_SCALE),
        augment.RandomHorizontalFlip(),
    ]
    strong: list[nn.Module] = [augment.auto.RandAugment(RANDAUGMENT_OPERATIONS, RANDAUGMENT_MAGNITUDE)]
    # After the normalisation, so that what is erased is the mean.
    erasing = [augment.RandomErasing(p=ERASING_PROBABILITY)]
    return OneImage(light, strong if name == "strong" else [], [Normalize()], erasing if name == "strong" else [])


def validation_transform(size: int) -> Callable[[Tensor], Tensor]:
    """What happens to one validation image: resize, central crop, normalisation; as `training_transform`."""
    return OneImage([ResizeAndCrop(size), Normalize()])


class OneImage:
    """Applies modules for batches, one after the other, to a single (C, H, W) image."""

    def __init__(self, *modules: list[nn.Module]) -> None:
        self.modules = nn.Sequential(*(module for part in modules for module in part))

    def __call__(self, image: Tensor) -> Tensor:
        augmented: Tensor = self.modules(image[None])[0]
        return augmented


class ResizeAndCrop(nn.Module):
    """Resize the shorter side to ``size / CROP_FRACTION`` pixels, with antialiasing, and take the centre."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, size, size)."""
        factor = self.size / CROP_FRACTION / min(x.shape[2:])
        shape = [max(self.size, round(factor * side)) for side in x.shape[2:]]
        x = F.interpolate(x, shape, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - self.size) // 2 for side in shape)
        return x[:, :, top : top + self.size, left : left + self.size]


class Normalize(nn.Module):
    """Subtract ImageNet's mean colour and divide by its standard deviation."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 3, H, W)."""
        mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return (x - mean) / std


class MixImages(nn.Module):
    """Mixup (arXiv:1710.09412) or CutMix (arXiv:1905.04899), each for half of the batches.

    The part that an image keeps is drawn uniformly in [0, 1], for each image anew.

    Parameters
    ----------
    num_classes : int
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.mixup = augment.RandomMixUpV2(data_keys=["input", "class"])
        self.cutmix = augment.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Parameters
        ----------
        images : Tensor of shape (B, C, H, W)
        labels : Tensor of shape (B,), int64

        Returns
        -------
        images : Tensor of shape (B, C, H, W)
        targets : Tensor of shape (B, num_classes)
            Probabilities: of each class, the part of the image that comes from it.
        """
        use_mixup = bool(torch.rand(()) < 0.5)
        mixed, rows = (self.mixup if use_mixup else self.cutmix)(images, labels)
        first, second, part = rows.reshape(len(images), 3).T
        # kornia counts the second image's part in mixup, the first image's in CutMix.
        kept = 1 - part if use_mixup else part
        one_hot = [F.one_hot(label.long(), self.num_classes) for label in (first, second)]
        return mixed, kept[:, None] * one_hot[0] + (1 - kept[:, None]) * one_hot[1]
