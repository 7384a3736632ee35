"""A 2-D port of nnFormer.

nnFormer (Zhou et al., arXiv:2109.03201) was published for volumes only; this is written after its paper. It
keeps the paper's building blocks: an embedding of stacked convolutions, transformer layers on local windows
that are shifted in every second layer, global attention at the bottleneck, convolutional down- and
up-sampling, skip attention, and deep supervision at 1, 1/4 and 1/8.

Where 2-D leaves a choice:

- Windows have 8x8 pixels, as many as the local volumes of 4x4x4 voxels.
- The width is 192 channels, the larger of the published two, with heads of 32 channels and two layers a block.
- The three global blocks all work at 1/16 of the resolution. In the paper the second of them lies one stage
  deeper, at twice the width; see docs/models.md for what that would cost in 2-D.
- Global attention has no position bias, so that images may have any size.
"""

from __future__ import annotations

from torch import Tensor, nn

from .initialization import init_linear_and_norm
from .segmentation_network import SegmentationNetwork
from .window_attention import WindowAttention

WINDOW = 8
LAYERS_PER_BLOCK = 2
GLOBAL_BLOCKS = 3
HEAD_DIM = 32
MLP_RATIO = 4


class ConvolutionLast(nn.Module):
    """A convolution, transposed or not, of a channels-last map."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H', W', C')."""
        return self.convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _convolution(in_dim: int, out_dim: int, stride: int = 1) -> nn.Module:
    return ConvolutionLast(nn.Conv2d(in_dim, out_dim, kernel_size=3, stride=stride, padding=1))


def _up_convolution(in_dim: int, out_dim: int, scale: int = 2) -> nn.Module:
    return ConvolutionLast(nn.ConvTranspose2d(in_dim, out_dim, kernel_size=scale, stride=scale))


class ConvolutionalEmbedding(nn.Sequential):
    """Image to patches of 4x4 pixels by four 3x3 convolutions, GELU and LayerNorm after all but the last.

    Parameters
    ----------
    in_channels : int
    dim : int
        Number of channels C of the output, even; the first two convolutions have half of them.
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        half = dim // 2
        layers = []
        for in_dim, out_dim, stride in ((in_channels, half, 2), (half, half, 1), (half, dim, 2)):
            layers += [_convolution(in_dim, out_dim, stride), nn.GELU(), nn.LayerNorm(out_dim)]
        super().__init__(*layers, _convolution(dim, dim))


class TransformerLayer(nn.Module):
    """Attention and MLP, each on a normalised input and with a residual connection.

    Parameters
    ----------
    dim, heads, window, shifted, from_skip
        As in `WindowAttention`. ``from_skip`` makes it skip attention: the map is the query, and keys
        and values come from the encoder's map.
    """

    def __init__(
        self, dim: int, heads: int, window: int | None = None, shifted: bool = False, from_skip: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.skip_norm = nn.LayerNorm(dim) if from_skip else None
        self.attention = WindowAttention(dim, heads, window, shifted, from_skip)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, MLP_RATIO * dim), nn.GELU(), nn.Linear(MLP_RATIO * dim, dim))

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map (B, H, W, C), and ``skip`` of the same shape for skip attention, to (B, H, W, C)."""
        if skip is not None and self.skip_norm is not None:
            skip = self.skip_norm(skip)
        x = x + self.attention(self.norm1(x), skip)
        return x + self.mlp(self.norm2(x))


def _local_block(dim: int, heads: int) -> nn.Sequential:
    return nn.Sequential(*(TransformerLayer(dim, heads, WINDOW, shifted=i % 2 == 1) for i in range(LAYERS_PER_BLOCK)))


class DecoderBlock(nn.Module):
    """Up-sampling by a transposed convolution, skip attention, and self-attention in shifted windows.

    Parameters
    ----------
    dim : int
        Number of channels C of the output; the input has twice as many.
    heads : int
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.up = _up_convolution(2 * dim, dim)
        self.skip_attention = TransformerLayer(dim, heads, WINDOW, from_skip=True)
        self.self_attention = TransformerLayer(dim, heads, WINDOW, shifted=True)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, H, W, 2C) and (B, 2H, 2W, C) to (B, 2H, 2W, C)."""
        return self.self_attention(self.skip_attention(self.up(x), skip))


class NNFormer(SegmentationNetwork):
    """nnFormer in 2-D; see the head of this module for what was kept and what was chosen.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    deep_supervision : bool
        Return the outputs of all three scales; can be set at any time.
    embed_dim : int
        Number of channels of the first stage, an even multiple of ``head_dim``.
    head_dim : int
        Number of channels of one attention head.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1, or ``embed_dim`` is odd or no multiple of
        ``head_dim``.
    """

    # A window of 8 at 1/8 of the resolution.
    size_multiple = (64, 64)
    output_strides = ((1, 1), (4, 4), (8, 8))

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 14,
        deep_supervision: bool = False,
        *,
        embed_dim: int = 192,
        head_dim: int = HEAD_DIM,
    ) -> None:
        super().__init__(in_channels, num_classes, deep_supervision)
        if embed_dim < 2 or embed_dim % 2 or embed_dim % head_dim:
            raise ValueError(f"embed_dim must be even and a multiple of head_dim ({head_dim}), got {embed_dim}")
        dims = [embed_dim, 2 * embed_dim, 4 * embed_dim]
        heads = [dim // head_dim for dim in dims]
        self.embedding = ConvolutionalEmbedding(in_channels, embed_dim)
        self.encoder = nn.ModuleList(_local_block(dim, n) for dim, n in zip(dims[:2], heads[:2], strict=True))
        self.down = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), _convolution(dim, 2 * dim, stride=2)) for dim in dims[:2]
        )
        self.bottleneck = nn.Sequential(
            *(TransformerLayer(dims[2], heads[2]) for _ in range(GLOBAL_BLOCKS * LAYERS_PER_BLOCK))
        )
        self.decoder = nn.ModuleList(DecoderBlock(dim, n) for dim, n in zip(dims[1::-1], heads[1::-1], strict=True))
        self.heads = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), head)
            for dim, head in (
                (dims[0], _up_convolution(dims[0], num_classes, 4)),
                (dims[0], nn.Linear(dims[0], num_classes)),
                (dims[1], nn.Linear(dims[1], num_classes)),
            )
        )
        self.apply(init_linear_and_norm)

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        x = self.embedding(x.permute(0, 2, 3, 1))
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.bottleneck(x)
        maps = []
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(x, skip)
            maps.append(x)
        eighth, quarter = maps
        scales = [quarter, quarter, eighth] if self.deep_supervision else [quarter]
        return [head(scale).permute(0, 3, 1, 2) for head, scale in zip(self.heads, scales, strict=False)]
