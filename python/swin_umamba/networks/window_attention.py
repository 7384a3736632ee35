"""Attention within windows of a channels-last map, and over the whole map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def shifted_window_mask(height: int, width: int, window: int, shift: tuple[int, int], device: torch.device) -> Tensor:
    """Which pairs of pixels share a window of a rolled map without having been neighbours before it was rolled.

    As in Swin Transformer (arXiv:2103.14030, section 3.2).

    Parameters
    ----------
    height, width : int
        Size of the map, multiples of ``window``.
    window : int
    shift : (int, int)
        By how many rows and columns the map was rolled up and to the left.
    device : torch.device

    Returns
    -------
    Tensor of shape (number of windows, window**2, window**2), bool
    """
    regions = torch.zeros(height, width, dtype=torch.int64, device=device)
    for axis, (size, step) in enumerate(zip((height, width), shift, strict=True)):
        position = torch.arange(size, device=device)
        wrapped = (position >= size - step).long()
        regions = 2 * regions + (wrapped[:, None] if axis == 0 else wrapped)
    regions = rearrange(regions, "(h row) (w column) -> (h w) (row column)", row=window, column=window)
    return regions[:, :, None] != regions[:, None, :]


class WindowAttention(nn.Module):
    """Multi-head attention of a (B, H, W, C) map, with the keys and values of the same or of another map.

    Within windows it has a relative position bias (Swin Transformer, arXiv:2103.14030, section 3.2); over
    the whole map it has none, and takes any size.

    Parameters
    ----------
    dim : int
        Number of channels C.
    heads : int
        Divides ``dim``.
    window : int or None
        Height and width of a window, which divide those of the map; ``None`` for the whole map.
    shifted : bool
        Move the windows by half their size, except along an axis that one window covers.
    from_skip : bool
        Take keys and values from a second map, and the first one as the queries, unprojected.
    """

    def __init__(
        self, dim: int, heads: int, window: int | None = None, shifted: bool = False, from_skip: bool = False
    ) -> None:
        super().__init__()
        self.offsets: Tensor
        self.heads = heads
        self.window = window
        self.shifted = shifted
        self.query = nn.Identity() if from_skip else nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        if window is not None:
            self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
            nn.init.trunc_normal_(self.position_bias, std=0.02)
            row, column = (
                torch.arange(window * window).div(window, rounding_mode="floor"),
                torch.arange(window**2) % window,
            )
            offsets = (row[:, None] - row + window - 1) * (2 * window - 1) + column[:, None] - column + window - 1
            self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map (B, H, W, C), and ``skip`` of the same shape, to (B, H, W, C)."""
        height, width = x.shape[1:3]
        window = (height, width) if self.window is None else (self.window, self.window)
        rows, columns = (
            step // 2 if self.shifted and size > step else 0 for size, step in zip((height, width), window, strict=True)
        )
        shift = (rows, columns)
        key, value = self.key_value(x if skip is None else skip).chunk(2, dim=-1)
        q, k, v = (self._split(self._roll(t, shift, -1), window) for t in (self.query(x), key, value))
        bias = None if self.window is None else self._bias(height, width, self.window, shift).to(q.dtype)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        y = rearrange(y, "b (h w) n (row column) d -> b (h row) (w column) (n d)", h=height // window[0], row=window[0])
        return self.proj(self._roll(y, shift, 1))

    @staticmethod
    def _roll(x: Tensor, shift: tuple[int, int], sign: int) -> Tensor:
        return x.roll((sign * shift[0], sign * shift[1]), (1, 2)) if any(shift) else x

    def _split(self, x: Tensor, window: tuple[int, int]) -> Tensor:
        """(B, H, W, C) to (B, number of windows, heads, pixels of a window, C / heads)."""
        rows, columns = window
        return rearrange(
            x, "b (h row) (w column) (n d) -> b (h w) n (row column) d", row=rows, column=columns, n=self.heads
        )

    def _bias(self, height: int, width: int, window: int, shift: tuple[int, int]) -> Tensor:
        """Position bias and mask, of shape (windows or 1, heads, pixels of a window, pixels of a window)."""
        bias = self.position_bias[self.offsets].permute(2, 0, 1)[None]
        if not any(shift):
            return bias
        mask = shifted_window_mask(height, width, window, shift, bias.device)
        return bias.masked_fill(mask[:, None], float("-inf"))
