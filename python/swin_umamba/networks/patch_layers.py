"""Layers that change the resolution of a channels-last image: embedding, merging, expanding."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from .pixel_linear import PixelLinear


class PatchEmbedding(nn.Module):
    """Image to patches: a convolution whose stride is its kernel size, then LayerNorm.

    Parameters
    ----------
    in_channels : int
    dim : int
        Number of channels C of the output.
    patch_size : int
        Height and width P of a patch.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, H/P, W/P, C)."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Half the resolution, twice the channels: 2x2 neighbours to one vector, LayerNorm, linear.

    From Swin Transformer (arXiv:2103.14030, section 3.1).

    Parameters
    ----------
    dim : int
        Number of channels C of the input.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = PixelLinear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H/2, W/2, 2C)."""
        neighbours = rearrange(x, "b (h row) (w column) c -> b h w (column row c)", row=2, column=2)
        return self.reduction(self.norm(neighbours))


class PatchExpanding(nn.Module):
    """More resolution, fewer channels: linear, each vector to scale x scale pixels, LayerNorm.

    From Swin-Unet (arXiv:2105.05537, section 3.5).

    Parameters
    ----------
    dim : int
        Number of channels C of the input.
    scale : int
        Factor on height and width.
    out_dim : int
        Number of channels of the output.
    """

    def __init__(self, dim: int, scale: int, out_dim: int) -> None:
        super().__init__()
        self.scale = scale
        self.expand = PixelLinear(dim, scale * scale * out_dim, bias=False)
        self.norm = nn.LayerNorm(out_dim)

    def patches(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, scale*scale, out_dim): the new pixels, not yet in their places."""
        return self.norm(self.expand(x).unflatten(-1, (self.scale * self.scale, -1)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, scale*H, scale*W, out_dim)."""
        return rearrange(
            self.patches(x), "b h w (row column) c -> b (h row) (w column) c", row=self.scale, column=self.scale
        )
