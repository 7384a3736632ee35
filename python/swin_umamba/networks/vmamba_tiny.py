"""VMamba-Tiny as an image classifier: what the encoders of Swin-UMamba and Swin-UMamba† are pretrained as."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .initialization import init_linear_and_norm
from .padding import pad_to_multiple
from .patch_layers import PatchEmbedding, PatchMerging
from .vss_block import VSSStage

PATCH_SIZE = 4


class VSSLayer(VSSStage):
    """A stage of VSS blocks with the patch merging that follows it, if one does.

    Parameters
    ----------
    dim : int
        Number of channels C.
    drop_path : sequence of float
        Stochastic depth of each block; its length is the number of blocks.
    d_state : int
        Number of states N per channel.
    downsample : bool
        End with patch merging.
    """

    def __init__(self, dim: int, drop_path: Sequence[float], d_state: int, downsample: bool) -> None:
        super().__init__(dim, drop_path, d_state)
        self.downsample = PatchMerging(dim) if downsample else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H/2, W/2, 2C), or to its own shape without patch merging."""
        return self.downsample(super().forward(x))


class VMambaTiny(nn.Module):
    """VMamba-Tiny (arXiv:2401.10166v1), the ImageNet classifier whose weights the paper starts from (section 2.2).

    Patch embedding 4x4, four stages of VSS blocks with patch merging in between, LayerNorm, mean over the
    pixels, and a linear head. Names and shapes of the parameters are those of the released checkpoint.

    Parameters
    ----------
    num_classes : int
        Number of outputs, at least 1.
    in_channels : int
        Number of channels of the image, at least 1.
    embed_dim : int
        Number of channels of the first stage, even; the stages after it double it.
    depths : sequence of int
        Number of VSS blocks of each of the four stages.
    drop_path_rate : float
        Stochastic depth, rising linearly from 0 at the first block to this value at the last.
    d_state : int
        Number of states per channel in the selective scan.

    Raises
    ------
    ValueError
        If ``num_classes`` or ``in_channels`` is less than 1, ``embed_dim`` is not a positive even number, or
        ``depths`` has not four entries.

    Examples
    --------
    >>> network = VMambaTiny(num_classes=1000)
    >>> sum(parameter.numel() for parameter in network.parameters())
    22893448
    """

    size_multiple = 8 * PATCH_SIZE

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 9, 2),
        drop_path_rate: float = 0.1,
        d_state: int = 16,
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if embed_dim < 2 or embed_dim % 2:
            raise ValueError(f"embed_dim must be a positive even number, got {embed_dim}")
        if len(depths) != 4:
            raise ValueError(f"depths must have 4 entries, one for each stage, got {tuple(depths)}")
        dims = [embed_dim * 2**i for i in range(4)]
        self.patch_embed = PatchEmbedding(in_channels, dims[0], PATCH_SIZE)
        rates = torch.linspace(0, drop_path_rate, sum(depths)).split(list(depths))
        self.layers = nn.Sequential(
            *(
                VSSLayer(dim, stage_rates.tolist(), d_state, downsample=dim != dims[-1])
                for dim, stage_rates in zip(dims, rates, strict=True)
            )
        )
        self.norm = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], num_classes)
        self.apply(init_linear_and_norm)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in PyTorch's types

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of images.

        Parameters
        ----------
        x : Tensor of shape (B, in_channels, H, W), floating point
            Where H or W is not a multiple of 32, the last row and column are repeated until it is.

        Returns
        -------
        Tensor of shape (B, num_classes)
            Logits.
        """
        x = self.layers(self.patch_embed(pad_to_multiple(x, self.size_multiple)))
        return self.head(self.norm(x).mean((1, 2)))
