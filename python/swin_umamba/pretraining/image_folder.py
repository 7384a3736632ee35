"""Labelled images in folders, one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.errors import UserError
from ..common.images.formats import is_hidden
from .images import ENDINGS, read_size

Sample = tuple[Path, int]
# What is read ahead when the headers are checked.
IMAGES_AT_ONCE = 1000


@dataclass(frozen=True)
class ImageFolder:
    """Images to train on and to validate on, each with the number of its class."""

    classes: tuple[str, ...]
    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]


def open_image_folder(folder: Path, validation_fraction: float, seed: int) -> ImageFolder:
    """List the images of a folder; none is opened.

    Parameters
    ----------
    folder : Path
        Holds ``train/CLASS/`` and ``val/CLASS/``, or the folders ``CLASS/`` themselves. Images lie in a
        class's folder at any depth.
    validation_fraction : float
        Where there is no ``val``: the part of each class's images that validates, at least one of each class.
    seed : int
        Which images validate is drawn with it.

    Raises
    ------
    UserError
        No classes, one class, a class without images or with too few to split, or different classes in
        ``train`` and ``val``.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give one that holds train/CLASS/*.png, or CLASS/*.png")
    divided = (folder / "train").is_dir()
    if (folder / "val").is_dir() and not divided:
        raise UserError(f"{folder} has a folder val but no folder train")
    root = folder / "train" if divided else folder
    classes = _class_names(root)
    if not classes:
        raise UserError(f"{root} holds no classes: wanted is one folder of images for each class")
    if len(classes) == 1:
        raise UserError(f"{root} holds only one class, {classes[0]!r}; a classifier needs at least two")
    files = [_images_of(root / name) for name in classes]
    if divided and (folder / "val").is_dir():
        others = _class_names(folder / "val")
        if difference := sorted(set(classes) ^ set(others)):
            where = "train" if difference[0] in classes else "val"
            raise UserError(f"{folder}: train and val must hold the same classes; only {where} has {difference[0]!r}")
        return ImageFolder(
            tuple(classes), _number(files), _number([_images_of(folder / "val" / name) for name in classes])
        )
    splits = [_split(paths, validation_fraction, seed) for paths in files]
    return ImageFolder(tuple(classes), _number([split[0] for split in splits]), _number([split[1] for split in splits]))


def check_images(images: ImageFolder, size: int, on_image_done: Callable[[], object] = lambda: None) -> list[Path]:
    """Read the header of every image.

    Parameters
    ----------
    images : ImageFolder
    size : int
        Height and width of the classifier's input, in pixels.
    on_image_done
        Called after each image, for a progress bar.

    Returns
    -------
    list of Path
        Images with a side shorter than ``size``.

    Raises
    ------
    UserError
        A file is no image, or most images are smaller than ``size``.
    """
    paths = [path for path, _ in (*images.training, *images.validation)]
    small = []
    with ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1))) as pool:
        for start in range(0, len(paths), IMAGES_AT_ONCE):
            part = paths[start : start + IMAGES_AT_ONCE]
            for path, shape in zip(part, pool.map(read_size, part), strict=True):
                if min(shape) < size:
                    small.append(path)
                on_image_done()
    if 2 * len(small) > len(paths):
        height, width = read_size(small[0])
        raise UserError(
            f"{len(small)} of {len(paths)} images are smaller than the {size}×{size} pixels of a crop, for instance "
            f"{small[0]} with {height}×{width}; choose a smaller --image-size"
        )
    return small


def _class_names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not is_hidden(path))


def _images_of(folder: Path) -> list[Path]:
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and not is_hidden(path) and path.is_file()
    )
    if not paths:
        raise UserError(f"the class {folder} holds no images; read are {', '.join(ENDINGS)}")
    return paths


def _split(paths: list[Path], fraction: float, seed: int) -> tuple[list[Path], list[Path]]:
    if len(paths) < 2:
        raise UserError(f"the class {paths[0].parent} has one image; training and validation need one each")
    validating = min(max(1, round(fraction * len(paths))), len(paths) - 1)
    order = np.random.default_rng(seed).permutation(len(paths))
    return [paths[i] for i in sorted(order[validating:])], [paths[i] for i in sorted(order[:validating])]


def _number(files: list[list[Path]]) -> tuple[Sample, ...]:
    return tuple((path, label) for label, paths in enumerate(files) for path in paths)
