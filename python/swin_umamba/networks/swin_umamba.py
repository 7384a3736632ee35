"""Swin-UMamba: VMamba encoder and convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from torch import Tensor, nn

from .instance_norm import InstanceNorm2d, fuse_instance_norm
from .vmamba_segmentation_network import VMambaSegmentationNetwork
from .vssm_encoder import VSSMEncoder


def _residual_block(in_channels: int, out_channels: int) -> nn.Module:
    return fuse_instance_norm(
        UnetrBasicBlock(2, in_channels, out_channels, kernel_size=3, stride=1, norm_name="instance", res_block=True)
    )


def _up_block(in_channels: int, out_channels: int) -> nn.Module:
    return fuse_instance_norm(
        UnetrUpBlock(
            2, in_channels, out_channels, kernel_size=3, upsample_kernel_size=2, norm_name="instance", res_block=True
        )
    )


class SwinUMamba(VMambaSegmentationNetwork):
    """Swin-UMamba (paper, sections 2.1-2.3).

    A 7x7 convolution of stride 2 and the stages of VMamba-Tiny make maps of 1/2, 1/4, 1/8, 1/16 and 1/32
    of the resolution; residual convolution blocks process them and the image itself on their way to
    the up-sample blocks of the decoder. Deep supervision works at 1, 1/2, 1/4 and 1/8.

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
        Number of VSS blocks of each of the four stages.
    drop_path_rate : float
        Stochastic depth of the encoder's last block, rising from 0 at its first.
    d_state : int
        Number of states per channel in the selective scan.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1, ``embed_dim`` is not a positive even number, or
        ``depths`` has not four entries.

    Examples
    --------
    >>> network = SwinUMamba(in_channels=3, num_classes=8)
    >>> network(torch.rand(1, 3, 384, 640)).shape
    torch.Size([1, 8, 384, 640])
    """

    output_strides = ((1, 1), (2, 2), (4, 4), (8, 8))

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
        stem_dim, *dims = [embed_dim // 2 * 2**i for i in range(5)]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem_dim, kernel_size=7, stride=2, padding=3),
            InstanceNorm2d(stem_dim, affine=True),
        )
        self.vssm_encoder = VSSMEncoder(stem_dim, 2, dims, depths, drop_path_rate, d_state)
        self.encoder1 = _residual_block(in_channels, stem_dim)
        self.encoder2 = _residual_block(stem_dim, dims[0])
        self.encoder3 = _residual_block(dims[0], dims[1])
        self.encoder4 = _residual_block(dims[1], dims[2])
        self.encoder5 = _residual_block(dims[2], dims[3])
        self.decoder6 = _up_block(dims[3], dims[3])
        self.decoder5 = _up_block(dims[3], dims[2])
        self.decoder4 = _up_block(dims[2], dims[1])
        self.decoder3 = _up_block(dims[1], dims[0])
        self.decoder2 = _up_block(dims[0], stem_dim)
        self.decoder1 = _residual_block(stem_dim, stem_dim)
        self.out_layers = nn.ModuleList(UnetOutBlock(2, dim, num_classes) for dim in (stem_dim, *dims[:3]))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in PyTorch's types

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        stem = self.stem(x)
        stages = [stage.permute(0, 3, 1, 2) for stage in self.vssm_encoder(stem)]
        decoded = self.decoder6(stages[3], self.encoder5(stages[2]))
        eighth = self.decoder5(decoded, self.encoder4(stages[1]))
        quarter = self.decoder4(eighth, self.encoder3(stages[0]))
        half = self.decoder3(quarter, self.encoder2(stem))
        full = self.decoder1(self.decoder2(half, self.encoder1(x)))
        scales = [full, half, quarter, eighth] if self.deep_supervision else [full]
        return [head(scale) for head, scale in zip(self.out_layers, scales, strict=False)]
