"""What all segmentation networks of the package have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .padding import crop_to_size, pad_to_multiple, size_at_stride


class SegmentationNetwork(nn.Module, ABC):
    """A 2-D segmentation network for images of any size.

    A subclass implements `forward_padded` and sets the attributes below. A network of another library is
    made one by deriving from this class first and from the library's second, which leaves the names of its
    parameters as they are.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    deep_supervision : bool
        Return the outputs of all scales; can be set at any time.
    library_arguments : mapping
        Arguments of the library's class, where there is one.

    Attributes
    ----------
    size_multiple : (int, int)
        What height and width that `forward_padded` sees are multiples of.
    minimum_size : (int, int)
        The least height and width that it sees.
    output_strides : tuple of (int, int)
        Vertical and horizontal stride of every output of deep supervision, full resolution first.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1.
    """

    size_multiple: tuple[int, int]
    minimum_size: tuple[int, int] = (1, 1)
    output_strides: tuple[tuple[int, int], ...]

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        deep_supervision: bool,
        library_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (("in_channels", in_channels), ("num_classes", num_classes)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        super().__init__(**(library_arguments or {}))
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.deep_supervision = deep_supervision

    @abstractmethod
    def forward_padded(self, x: Tensor) -> list[Tensor]:
        """Outputs from fine to coarse (only the first without deep supervision), of an image that fits."""

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Segment a batch of images.

        Where H or W is not a multiple of ``size_multiple``, or less than ``minimum_size``, the image is padded
        at the bottom and at the right by repeating its last row and column, and the outputs are cropped to
        match; else nothing is done. ``minimum_size`` leaves instance normalisation more than one pixel, so
        that training works at any size.

        Parameters
        ----------
        x : Tensor of shape (B, in_channels, H, W), floating point
            Any H, W >= 1.

        Returns
        -------
        Tensor of shape (B, num_classes, H, W), or list of Tensor with deep supervision
            Logits. The list goes from full resolution to coarse, and the output of stride s has
            height max(1, round(H / s)), the width likewise: the size of the target that nnU-Net downsamples
            by the scale 1/s, with Python's rounding of halves to even.

        Raises
        ------
        TypeError
            If ``x`` is not a floating point tensor.
        ValueError
            If ``x`` is not 4-D, has another number of channels, or is empty.
        """
        self._check_input(x)
        height, width = x.shape[2:]
        outputs = self.forward_padded(pad_to_multiple(x, self.size_multiple, self.minimum_size))
        if not self.deep_supervision:
            return crop_to_size(outputs[0], height, width)
        return [
            crop_to_size(y, size_at_stride(height, rows), size_at_stride(width, columns))
            for y, (rows, columns) in zip(outputs, self.output_strides, strict=True)
        ]

    def _check_input(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"the input must be a torch.Tensor, got {type(x).__name__}")
        shape = tuple(x.shape)
        if x.dim() != 4:
            raise ValueError(f"the input must have shape (batch, channels, height, width), 4 dimensions, got {shape}")
        if shape[1] != self.in_channels:
            raise ValueError(
                f"the network was built for {self.in_channels} input channel(s), got {shape[1]} in shape {shape}; "
                f"set in_channels when building it"
            )
        if min(shape) < 1:
            raise ValueError(f"the input must not be empty, got shape {shape}")
        if not torch.is_floating_point(x):
            raise TypeError(f"the input must be floating point, got {x.dtype}; convert it with .float()")
