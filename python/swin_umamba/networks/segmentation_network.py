"""What Swin-UMamba and Swin-UMamba† have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .padding import crop_to_size, pad_to_multiple, size_at_stride


class SegmentationNetwork(nn.Module, ABC):
    """A 2-D segmentation network around a VMamba encoder, for images of any size.

    A subclass sets ``vssm_encoder`` and ``output_strides`` and implements :meth:`forward_padded`.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    deep_supervision : bool
        Return the outputs of all scales; can be set at any time.
    embed_dim : int
        Number of channels of the first VSS stage, even.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1, or ``embed_dim`` is not a positive even number.
    """

    size_multiple = 32
    output_strides: tuple[int, ...]
    vssm_encoder: nn.Module

    def __init__(self, in_channels: int, num_classes: int, deep_supervision: bool, embed_dim: int) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("num_classes", num_classes)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if embed_dim < 2 or embed_dim % 2:
            raise ValueError(f"embed_dim must be a positive even number, got {embed_dim}")
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.deep_supervision = deep_supervision

    @abstractmethod
    def forward_padded(self, x: Tensor) -> list[Tensor]:
        """Outputs from fine to coarse (only the first without deep supervision), of an image that fits."""

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Segment a batch of images.

        Where H or W is not a multiple of 32, the image is padded at the bottom and at the right by
        repeating its last row and column, and the outputs are cropped to match; where both are, nothing
        is done. An image smaller than 32x32 is padded to 32x32, where the smallest map that instance
        normalisation sees is 2x2, so that training works at any size.

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
        outputs = self.forward_padded(pad_to_multiple(x, self.size_multiple))
        if not self.deep_supervision:
            return crop_to_size(outputs[0], height, width)
        return [
            crop_to_size(y, size_at_stride(height, stride), size_at_stride(width, stride))
            for y, stride in zip(outputs, self.output_strides, strict=True)
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

    def freeze_encoder(self) -> None:
        """Stop training the encoder's pretrained part: all of ``vssm_encoder`` except its patch embedding.

        For the first epochs of training from ImageNet weights (paper, section 3.2).
        """
        self._set_encoder_trainable(False)

    def unfreeze_encoder(self) -> None:
        """Train the whole encoder: the inverse of :meth:`freeze_encoder`."""
        self._set_encoder_trainable(True)

    def _set_encoder_trainable(self, trainable: bool) -> None:
        for name, parameter in self.vssm_encoder.named_parameters():
            if not name.startswith("patch_embed."):
                parameter.requires_grad_(trainable)
