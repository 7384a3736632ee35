"""Padding of images to a multiple of a network's stride, and its exact reversal."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad an image at the bottom and at the right until its sizes are multiples of ``multiple``.

    The last row and column are repeated: that makes no edge, and unlike reflection it is possible for an
    image smaller than the padding.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W), H and W >= 1
    multiple : int

    Returns
    -------
    Tensor of shape (B, C, H', W')
        ``x`` itself where nothing is to be padded.
    """
    bottom, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    if bottom == 0 and right == 0:
        return x
    return F.pad(x, (0, right, 0, bottom), mode="replicate")


def size_at_stride(size: int, stride: int) -> int:
    """Size of an image axis after downsampling by ``stride``, as nnU-Net rounds it.

    nnU-Net makes the targets of deep supervision with ``round(size * scale)``, where Python rounds halves to
    the even number. Never less than 1.
    """
    return max(1, round(size / stride))


def crop_to_size(y: Tensor, height: int, width: int) -> Tensor:
    """Keep the upper left ``height`` x ``width`` pixels of a (B, C, H', W') tensor, contiguously."""
    return y[:, :, :height, :width].contiguous()
