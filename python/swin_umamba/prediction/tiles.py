"""An image in tiles: where they lie, and the weighted mean of what the network says about each pixel.

The sums are nnU-Net's, in float16 and in its order; but only those rows are kept that a tile to come can reach, so that
an image needs a strip of them, and not a map of each class as large as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from torch import Tensor

Position = tuple[int, tuple[int, ...]]
"""Of a tile: its slice (0 for tiles of three axes) and its first pixel."""


class ImageInTiles:
    """The way of one image through the network.

    Parameters
    ----------
    data
        float32 (C, Z, H, W); padded with 0 where it is smaller than a tile.
    patch_size
        Of a tile, with two axes (each slice has tiles of its own) or three.
    step_size
        Distance of neighbouring tiles as a share of their size.
    weight
        float16 of the size of a tile: how much each of its pixels counts.
    n_classes, n_folds
        Of the outputs; those of several folds are averaged.
    sink
        Takes the index of a region of the image (slice and rows, or first axis, as slices) and the float16 logits
        (classes, ...) there. Each region comes once.

    Attributes
    ----------
    positions : list of Position
        The tiles, in the order in which `add` wants them.
    error : Exception or None
        Why the image cannot be predicted; set by whoever finds out.
    """

    def __init__(
        self,
        data: Tensor,
        patch_size: Sequence[int],
        step_size: float,
        weight: Tensor,
        n_classes: int,
        n_folds: int,
        sink: Callable[[tuple[slice | int, ...], Tensor], None],
    ) -> None:
        self._data, inside = pad_nd_image(data, tuple(patch_size), "constant", {"value": 0}, True)
        self._patch_size = tuple(patch_size)
        self._has_slices = len(patch_size) == 2
        self._inside = inside[-len(patch_size) :]
        extent = tuple(self._data.shape[-len(patch_size) :])
        starts = list(product(*compute_steps_for_sliding_window(extent, self._patch_size, step_size)))
        n_slices = self._data.shape[1] if self._has_slices else 1
        self.positions: list[Position] = [(z, start) for z in range(n_slices) for start in starts]
        self.n_done = 0
        self.error: Exception | None = None
        self._weight, self._n_classes, self._n_folds, self._sink = weight, n_classes, n_folds, sink
        self._strip = (self._patch_size[0], *extent[1:])
        self._row = (0, 0)
        self._sums: list[Tensor] = []

    @property
    def is_done(self) -> bool:
        """Whether all tiles have been added, or no more are wanted."""
        return self.error is not None or self.n_done == len(self.positions)

    @property
    def share(self) -> float:
        """Of the tiles that are done."""
        return self.n_done / len(self.positions)

    def tile(self, position: Position) -> Tensor:
        """What the network sees of the image at a position, (C, ...), not copied."""
        z, start = position
        view = self._data[:, z] if self._has_slices else self._data
        tile: Tensor = view[(slice(None), *(slice(s, s + n) for s, n in zip(start, self._patch_size, strict=True)))]
        return tile

    def add(self, position: Position, outputs: Sequence[Tensor]) -> None:
        """Add the outputs of all folds for one tile, (classes, ...) each, which are written over.

        Raises
        ------
        FloatingPointError
            The mean of a pixel is not finite.
        """
        z, start = position
        if (z, start[0]) != self._row or not self._sums:
            self._go_to(z, start[0])
        columns = (slice(None), *(slice(s, s + n) for s, n in zip(start[1:], self._patch_size[1:], strict=True)))
        for sums, output in zip(self._sums, outputs, strict=True):
            output *= self._weight
            sums[(slice(None), *columns)] += output
        self._weights[columns] += self._weight
        self.n_done += 1
        if self.n_done == len(self.positions):
            self._give(self._patch_size[0], *self._row)
            self._sums = []

    def _go_to(self, z: int, row: int) -> None:
        """Give away the rows that no further tile reaches."""
        former_z, former_row = self._row
        self._row = z, row
        if not self._sums or z != former_z:
            if self._sums:
                self._give(self._patch_size[0], former_z, former_row)
            options: dict[str, Any] = {"dtype": torch.half, "device": self._weight.device}
            self._sums = [torch.zeros((self._n_classes, *self._strip), **options) for _ in range(self._n_folds)]
            self._weights = torch.zeros(self._strip, **options)
            return
        n_rows = row - former_row
        self._give(n_rows, former_z, former_row)
        for strip in (*self._sums, self._weights[None]):
            strip[:, :-n_rows] = strip[:, n_rows:].clone()
            strip[:, -n_rows:] = 0

    def _give(self, n_rows: int, z: int, row: int) -> None:
        rows, *columns = self._inside
        first, last = max(row, rows.start), min(row + n_rows, rows.stop)
        if first >= last:
            return
        here = (slice(first - row, last - row), *columns)
        of_first, *of_others = self._sums
        mean = of_first[(slice(None), *here)] / self._weights[here]
        for sums in of_others:
            mean += sums[(slice(None), *here)] / self._weights[here]
        if self._n_folds > 1:
            mean /= self._n_folds
        # nnU-Net looks for infinite values only; of NaN it would make the label 0.
        if not bool(torch.isfinite(mean).all()):
            raise FloatingPointError("the output of the network holds NaN or infinite values")
        region = slice(first - rows.start, last - rows.start)
        self._sink((z, region) if self._has_slices else (region,), mean)
