"""The network as a graph of ``torch.export``, for images of any size that fits where the network allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..networks.segmentation_network import SegmentationNetwork


class FullResolution(nn.Module):
    """The finest logits of a network, of images whose size is a multiple of what it needs.

    Parameters
    ----------
    network : SegmentationNetwork or nn.Module
        A network of another kind, as nnU-Net's own, is called as it is.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, K, H, W)."""
        if isinstance(self.network, SegmentationNetwork):
            return self.network.forward_padded(image)[0]
        logits: Tensor = self.network(image)
        return logits


@dataclass(frozen=True)
class Sizes:
    """The sizes of the images that a graph takes.

    Attributes
    ----------
    patch : (int, int)
        Height and width of the training patch, made to fit the network.
    multiple : (int, int)
        Of which height and width are multiples; the least ones too.
    any_batch, any_image : bool
        Whether a batch, and height and width, may have other sizes than one and ``patch``.
    """

    patch: tuple[int, int]
    multiple: tuple[int, int]
    any_batch: bool = True
    any_image: bool = True

    def dynamic(self) -> dict[int, Any] | None:
        """What ``torch.export`` takes as dynamic shape of the image."""
        axes: dict[int, Any] = {0: Dim("batch", min=1)} if self.any_batch else {}
        if self.any_image:
            for axis, name, multiple in zip((2, 3), ("height", "width"), self.multiple, strict=True):
                axes[axis] = multiple * Dim(f"{name}_{multiple}", min=1) if multiple > 1 else Dim(name, min=1)
        return axes or None

    def examples(self) -> list[tuple[int, int, int]]:
        """Batch, height and width of images to try: the patch, and where they may differ a smaller and a larger."""
        batch = 2 if self.any_batch else 1
        if not self.any_image:
            return [(1, *self.patch), (batch, *self.patch)]
        (rows, columns), (height, width) = self.multiple, self.patch
        return [(1, *self.patch), (batch, 2 * rows, 3 * columns), (1, height + rows, width)]


def possible_sizes(network: nn.Module, patch: tuple[int, int]) -> Iterator[Sizes]:
    """From the most general on; a network whose shapes are computed from the image may take one size only."""
    multiple = network.size_multiple if isinstance(network, SegmentationNetwork) else patch
    least = network.minimum_size if isinstance(network, SegmentationNetwork) else (1, 1)
    height, width = (max(low, size + -size % n) for size, n, low in zip(patch, multiple, least, strict=True))
    multiples = tuple(max(n, low) for n, low in zip(multiple, least, strict=True))
    assert len(multiples) == 2
    fitting = Sizes((height, width), multiples)
    if isinstance(network, SegmentationNetwork):
        yield fitting
    yield Sizes(fitting.patch, fitting.multiple, any_image=False)
    yield Sizes(fitting.patch, fitting.multiple, any_batch=False, any_image=False)


def trace(network: nn.Module, channels: int, sizes: Sizes) -> ExportedProgram:
    """The graph of the network's logits at full resolution, for inference.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU.
    channels : int
        Of an image.
    sizes : Sizes
        What the graph is to take.

    Raises
    ------
    Exception
        Whatever ``torch.export`` raises of a network that does not take such sizes.
    """
    example = sizes.patch
    if sizes.any_image:
        # What is one in the example is taken for always one, also of maps at the lowest resolution.
        height, width = (max(size, 2 * n) for size, n in zip(sizes.patch, sizes.multiple, strict=True))
        example = height, width
    shape = (2 if sizes.any_batch else 1, channels, *example)
    with torch.no_grad():
        return torch.export.export(
            FullResolution(network), (torch.zeros(shape),), dynamic_shapes={"image": sizes.dynamic()}
        )
