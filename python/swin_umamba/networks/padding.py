"""Padding of images to a multiple of a network's stride, and its exact reversal."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int | tuple[int, int], minimum: int | tuple[int, int] = 1) -> Tensor:
    """Pad an image at the bottom and at the right until its sizes are multiples of ``multiple``.

    The last row and column are repeated: that makes no edge, and unlike reflection it is possible for an
    image smaller than the padding.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W), H and W >= 1
    multiple : int or (int, int)
        Of both axes, or of the rows and of the columns.
    minimum : int or (int, int)
        Smallest size of the result, itself a multiple.

    Returns
    -------
    Tensor of shape (B, C, H', W')
        ``x`` itself where nothing is to be padded.
    """
    multiples, minima = ((n, n) if isinstance(n, int) else n for n in (multiple, minimum))
    bottom, right = (
        max(least, size + -size % n) - size for size, n, least in zip(x.shape[2:], multiples, minima, strict=True)
    )
    if bottom == 0 and right == 0:
        return x
    return F.pad(x, (0, right, 0, bottom), mode="replicate")


def size_at_stride(size: int, stride: int) -> int:
    """Size of an image axis after downsampling by ``stride``, as nnU-Net rounds it.

    nnU-Net makes the targets of deep supervision with ``round(size * scale)``, where Python rounds halves to
    the even number. Never less than 1.
    """
    # In a trace the size is a tensor.
    return max(1, round(int(size) / stride))


def crop_to_size(y: Tensor, height: int, width: int) -> Tensor:
    """Keep the upper left ``height`` x ``width`` pixels of a (B, C, H', W') tensor, contiguously."""
    return y[:, :, :height, :width].contiguous()
