"""The encoder: VMamba-Tiny without its classification head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .initialization import init_linear_and_norm
from .patch_layers import PatchEmbedding, PatchMerging
from .vss_block import VSSStage


class VSSMEncoder(nn.Module):
    """Patch embedding and four stages of VSS blocks, with patch merging in between.

    The structure of VMamba-Tiny (arXiv:2401.10166), so that its ImageNet weights fit (paper, section 2.2).

    Parameters
    ----------
    in_channels : int
    patch_size : int
        Height and width P of an embedded patch.
    dims : sequence of int
        Number of channels of each stage; each is twice the one before.
    depths : sequence of int
        Number of VSS blocks of each stage.
    drop_path_rate : float
        Stochastic depth, rising linearly from 0 at the first block to this value at the last.
    d_state : int
        Number of states N per channel.

    Raises
    ------
    ValueError
        If ``dims`` and ``depths`` differ in length.
    """

    def __init__(
        self,
        in_channels: int,
        patch_size: int,
        dims: Sequence[int] = (96, 192, 384, 768),
        depths: Sequence[int] = (2, 2, 9, 2),
        drop_path_rate: float = 0.2,
        d_state: int = 16,
    ) -> None:
        super().__init__()
        if len(depths) != len(dims):
            raise ValueError(f"depths must have {len(dims)} entries, one for each stage, got {tuple(depths)}")
        self.patch_embed = PatchEmbedding(in_channels, dims[0], patch_size)
        rates = torch.linspace(0, drop_path_rate, sum(depths), device="cpu").split(list(depths))
        self.layers = nn.ModuleList(
            VSSStage(dim, stage_rates.tolist(), d_state) for dim, stage_rates in zip(dims, rates, strict=True)
        )
        self.downsamples = nn.ModuleList(PatchMerging(dim) for dim in dims[:-1])
        self.apply(init_linear_and_norm)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the output of every stage.

        Parameters
        ----------
        x : Tensor of shape (B, in_channels, H, W)
            H and W are multiples of 8 * patch_size.

        Returns
        -------
        list of Tensor of shape (B, H/(P * 2**i), W/(P * 2**i), dims[i])
        """
        x = self.patch_embed(x)
        features = []
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = self.downsamples[i - 1](x)
            x = layer(x)
            features.append(x)
        return features
