"""Swin-UMamba†: VMamba encoder and Mamba decoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn

from .initialization import init_linear_and_norm
from .patch_layers import PatchExpanding
from .pixel_linear import PixelLinear
from .vmamba_segmentation_network import VMambaSegmentationNetwork
from .vss_block import VSSStage
from .vssm_encoder import VSSMEncoder

BLOCKS_PER_STAGE = 2


class VSSDecoder(nn.Module):
    """Patch expanding, concatenation with the skip and two VSS blocks, three times; then patch expanding by 4.

    Parameters
    ----------
    dims : sequence of int
        Number of channels of the four stages of the encoder, from fine to coarse.
    num_classes : int
    drop_path_rate : float
        Stochastic depth of the first (coarsest) block. It falls linearly and would be 0 at the eighth
        block, the last of a fourth stage that the decoder does not have.
    d_state : int
        Number of states N per channel.
    """

    def __init__(self, dims: Sequence[int], num_classes: int, drop_path_rate: float = 0.2, d_state: int = 16) -> None:
        super().__init__()
        coarse_to_fine = dims[::-1]
        pairs = list(pairwise(coarse_to_fine))
        rates = torch.linspace(drop_path_rate, 0, BLOCKS_PER_STAGE * len(dims), device="cpu").split(BLOCKS_PER_STAGE)
        self.expand_layers = nn.ModuleList(
            [PatchExpanding(below, 2, dim) for below, dim in pairs] + [PatchExpanding(dims[0], 4, dims[0])]
        )
        self.concat_back_dim = nn.ModuleList(PixelLinear(2 * dim, dim) for _, dim in pairs)
        self.stages = nn.ModuleList(
            VSSStage(dim, stage_rates.tolist(), d_state) for (_, dim), stage_rates in zip(pairs, rates, strict=False)
        )
        self.seg_layers = nn.ModuleList(
            nn.Conv2d(dim, num_classes, kernel_size=1) for dim in (*coarse_to_fine[1:], dims[0])
        )
        self.apply(init_linear_and_norm)

    def forward(self, features: list[Tensor], deep_supervision: bool) -> list[Tensor]:
        """Return the logits from fine to coarse, only the finest without deep supervision.

        Parameters
        ----------
        features : list of Tensor of shape (B, H/(4 * 2**i), W/(4 * 2**i), dims[i])
        deep_supervision : bool

        Returns
        -------
        list of Tensor of shape (B, num_classes, H/s, W/s), s = 1, 4, 8, 16
        """
        x, *skips = features[::-1]
        coarse_logits = []
        for expand, concat, stage, head, skip in zip(
            self.expand_layers[:-1], self.concat_back_dim, self.stages, self.seg_layers[:-1], skips, strict=True
        ):
            x = stage(concat(torch.cat([expand(x), skip], dim=-1)))
            if deep_supervision:
                coarse_logits.append(head(x.permute(0, 3, 1, 2)))
        return [self._full_resolution_logits(x), *coarse_logits[::-1]]

    def _full_resolution_logits(self, x: Tensor) -> Tensor:
        # The head is pointwise: applied before the pixels are put in their places, it leaves fewer channels to move.
        expand, head = self.expand_layers[-1], self.seg_layers[-1]
        assert isinstance(expand, PatchExpanding)
        logits = head(rearrange(expand.patches(x), "b h w patch c -> b c h (w patch)"))
        return rearrange(
            logits, "b k h (w row column) -> b k (h row) (w column)", row=expand.scale, column=expand.scale
        )


class SwinUMambaD(VMambaSegmentationNetwork):
    """Swin-UMamba†, the variant with a Mamba decoder (paper, section 2.4).

    VMamba-Tiny with its own 4x4 patch embedding, and a decoder of patch expanding and VSS blocks. Deep
    supervision works at 1, 1/4, 1/8 and 1/16.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    deep_supervision : bool
        Return the outputs of all four scales; can be set at any time.
    embed_dim : int
        Number of channels of the first VSS stage, even; the stages after it double it.
    depths : sequence of int
        Number of VSS blocks of each of the encoder's four stages.
    drop_path_rate : float
        Stochastic depth of the innermost blocks, rising from 0 along the encoder and falling along the
        decoder.
    d_state : int
        Number of states per channel in the selective scan.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1, ``embed_dim`` is not a positive even number, or
        ``depths`` has not four entries.

    Examples
    --------
    >>> network = SwinUMambaD(in_channels=1, num_classes=3, deep_supervision=True)
    >>> [tuple(y.shape[2:]) for y in network(torch.rand(1, 1, 320, 320))]
    [(320, 320), (80, 80), (40, 40), (20, 20)]
    """

    output_strides = ((1, 1), (4, 4), (8, 8), (16, 16))

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 14,
        deep_supervision: bool = False,
        *,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 9, 2),
        drop_path_rate: float = 0.2,
        d_state: int = 16,
    ) -> None:
        super().__init__(in_channels, num_classes, deep_supervision, embed_dim)
        dims = [embed_dim * 2**i for i in range(4)]
        self.vssm_encoder = VSSMEncoder(in_channels, 4, dims, depths, drop_path_rate, d_state)
        self.decoder = VSSDecoder(dims, num_classes, drop_path_rate, d_state)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in PyTorch's types

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        return self.decoder(self.vssm_encoder(x), self.deep_supervision)
