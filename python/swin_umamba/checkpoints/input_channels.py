"""Convolution kernels for another number of input channels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

InputChannels = Literal["skip", "sum", "mean"]
INPUT_CHANNELS: tuple[str, ...] = ("skip", "sum", "mean")


def adapt_input_channels(kernel: Tensor, channels: int, how: Literal["sum", "mean"]) -> Tensor:
    """Make a convolution kernel for ``channels`` input channels of one for another number.

    Every new channel has the same kernel. With ``sum`` it is the sum of the given channels' kernels, divided by the
    new number of channels: an image whose channels are all equal, such as a grey image written as R G B, gives
    the same output before and after. For one channel that is the plain sum. With ``mean`` it is their mean, so
    that a channel keeps the magnitude that it had, and the output grows with the number of channels.

    Parameters
    ----------
    kernel : Tensor of shape (out_channels, in_channels, ...), floating point
    channels : int
        New number of input channels, at least 1.
    how : {"sum", "mean"}

    Returns
    -------
    Tensor of shape (out_channels, channels, ...), same dtype

    Raises
    ------
    ValueError
        If ``how`` is something else.
    """
    if how not in ("sum", "mean"):
        raise ValueError(f"how must be 'sum' or 'mean', got {how!r}")
    # Half precision would round the sum, which is taken once and used for the whole training.
    total = kernel.to(torch.float64).sum(1, keepdim=True)
    one = total / (channels if how == "sum" else kernel.shape[1])
    return one.to(kernel.dtype).expand(-1, channels, *kernel.shape[2:]).contiguous()
