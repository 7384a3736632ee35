"""The content of the files of a data set that is made of a folder: images, and labels of their masks."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ...common.images.encoding import encoded, nifti_of
from ...common.images.formats import NIFTI_ENDINGS, image_ending
from ...common.images.nifti import is_packed, nifti_labels
from ...common.images.reading import open_nifti, read_stored
from ...common.images.turning import Turn
from ..preparation import OutputFile, copy_of
from .mask_rule import MaskRule, labels_of
from .mask_values import codes_of, opaque, read_mask
from .pairing import NameForm, Pair
from .reading import reading
from .survey import ImageKind


def image_files(part: str, pair: Pair, kind: ImageKind, ending: str, n_channels: int) -> list[OutputFile]:
    """Return the files of an image: one of one or three channels, else one for each channel."""
    path, sources = pair.image, (pair.image,)
    target = f"images{part}/{pair.case}_0000{ending}"
    if n_channels not in (1, 3):
        return [
            OutputFile(f"images{part}/{pair.case}_{n:04d}{ending}", sources, _channel(path, ending, n))
            for n in range(n_channels)
        ]
    if ending == ".nii.gz":
        if path.name.lower().endswith(".nii.gz"):
            return [copy_of(target, path)]
        return [OutputFile(target, sources, lambda: _volume(path))]
    if ending == ".png" and kind.as_png == n_channels:
        return [copy_of(target, path)]
    return [OutputFile(target, sources, lambda: _flat(path, ending, n_channels))]


def label_file(part: str, pair: Pair, ending: str, make_labels: Callable[[], np.ndarray]) -> OutputFile:
    """Return the label file of a case, from what makes its labels, uint8 (Z, H, W)."""
    sources = (*pair.masks.values(), pair.image)

    def make() -> bytes:
        if ending != ".nii.gz":
            return encoded(make_labels()[0], ending)
        if image_ending(pair.image) in NIFTI_ENDINGS:
            header = open_nifti(pair.image).header
        else:
            with reading(pair.image):
                header = nifti_of(read_stored(pair.image)).header
        return gzip.compress(nifti_labels(make_labels(), header).to_bytes(), compresslevel=6, mtime=0)

    return OutputFile(f"labels{part}/{pair.case}{ending}", sources, make)


def labels_by_value(pair: Pair, rule: MaskRule, turns: Mapping[Path, Turn]) -> np.ndarray:
    """Return the labels of a case whose one mask has all classes."""
    (path,) = pair.masks.values()
    with reading(path):
        mask = read_mask(path, threshold=rule.threshold, palette_as_colours=rule.palette_as_colours)
        return _turned(labels_of(mask, rule), turns.get(path))


def _turned(labels: np.ndarray, turn: Turn | None) -> np.ndarray:
    return labels if turn is None else turn.of(labels)


def labels_by_file(
    pair: Pair, labels: Mapping[NameForm, int], threshold: int | None, turns: Mapping[Path, Turn]
) -> np.ndarray:
    """Return the labels of a case whose classes have a mask each; the higher label is kept where they overlap."""
    merged = None
    for form, path in sorted(pair.masks.items(), key=lambda mask: labels[mask[0]]):
        with reading(path):
            codes, _ = codes_of(read_mask(path, threshold=threshold), threshold)
            inside = _turned(codes, turns.get(path)) != 0
        merged = np.zeros(inside.shape, dtype=np.uint8) if merged is None else merged
        merged[inside] = labels[form]
    if merged is None:
        raise ValueError(f"the case {pair.case} has no mask")
    return merged


def _flat(path: Path, ending: str, n_channels: int) -> bytes:
    with reading(path):
        values = opaque(read_stored(path)).values[:, 0]
    values = np.repeat(values[:1], n_channels, axis=0) if len(values) != n_channels else values
    return encoded(values[0] if n_channels == 1 else np.moveaxis(values, 0, -1), ending)


def _channel(path: Path, ending: str, number: int) -> Callable[[], bytes]:
    def make() -> bytes:
        with reading(path):
            return encoded(read_stored(path).values[number, 0], ending)

    return make


def _volume(path: Path) -> bytes:
    if image_ending(path) in NIFTI_ENDINGS:
        content = path.read_bytes()
        return content if is_packed(path) else gzip.compress(content, compresslevel=6, mtime=0)
    with reading(path):
        return gzip.compress(nifti_of(read_stored(path)).to_bytes(), compresslevel=6, mtime=0)
