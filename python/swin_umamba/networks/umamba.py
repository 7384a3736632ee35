"""U-Mamba_Bot and U-Mamba_Enc, as the paper compared them."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from dynamic_network_architectures.building_blocks.residual_encoders import ResidualEncoder
from dynamic_network_architectures.building_blocks.unet_residual_decoder import UNetResDecoder
from torch import Tensor, nn

from .instance_norm import fuse_instance_norm
from .mamba_block import Mamba
from .unet_network import UNetNetwork, stage_arguments
from .unet_topology import plan_topology

BLOCKS_PER_STAGE = 2


def _scan_image(norm: nn.LayerNorm, mamba: Mamba, x: Tensor) -> Tensor:
    """Normalise a (B, C, H, W) map as a row-major sequence of pixels and pass it through Mamba, in float32."""
    device = x.device.type
    # The meta device has no autocast to turn off.
    with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
        sequence = x.to(norm.weight.dtype).flatten(2).transpose(1, 2)
        y = mamba(norm(sequence)).transpose(1, 2).unflatten(2, x.shape[2:])
    # Contiguous, as all other maps of the network are.
    return y.to(x.dtype).contiguous()


class MambaLayer(nn.Module):
    """LayerNorm and Mamba over the pixels of a map, without a residual connection.

    Parameters
    ----------
    dim : int
        Number of channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mamba = Mamba(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return _scan_image(self.norm, self.mamba, x)


class ResidualMambaEncoder(ResidualEncoder):
    """nnU-Net's residual encoder with a `MambaLayer` after every stage.

    What the layer gives is the skip and what the next stage reads. The arguments are those of
    ``ResidualEncoder``.
    """

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.mamba_layers = nn.ModuleList(MambaLayer(dim) for dim in self.output_channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of all stages, from fine to coarse."""
        x = self.stem(x)
        skips = []
        for stage, mamba_layer in zip(self.stages, self.mamba_layers, strict=True):
            x = mamba_layer(stage(x))
            skips.append(x)
        return skips


class UMamba(UNetNetwork):
    """What both variants of U-Mamba (arXiv:2401.04722) share: nnU-Net's residual encoder and a residual decoder.

    The parameters have the names and shapes of the authors' code of January 2024, which the paper compared.
    Deep supervision works at every stage but the coarsest.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    deep_supervision : bool
        Return the outputs of all scales; can be set at any time.
    patch_size : (int, int)
        Decides the number of stages, see `swin_umamba.networks.unet_topology.plan_topology`; images of other
        sizes are taken too.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1.
    """

    encoder_class: type[ResidualEncoder]

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 14,
        deep_supervision: bool = False,
        *,
        patch_size: tuple[int, int] = (320, 320),
    ) -> None:
        topology = plan_topology(patch_size)
        super().__init__(in_channels, num_classes, deep_supervision, topology)
        self.encoder = self.encoder_class(
            **stage_arguments(in_channels, topology), n_blocks_per_stage=BLOCKS_PER_STAGE, return_skips=True
        )
        self.decoder = UNetResDecoder(self.encoder, num_classes, BLOCKS_PER_STAGE, deep_supervision)
        self.apply(ResidualEncoderUNet.initialize)
        fuse_instance_norm(self)


class UMambaEnc(UMamba):
    """U-Mamba_Enc: Mamba after every stage of the encoder; see `UMamba`."""

    encoder_class = ResidualMambaEncoder


class UMambaBot(UMamba):
    """U-Mamba_Bot: Mamba at the bottleneck alone; the arguments are those of `UMamba`."""

    encoder_class = ResidualEncoder

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 14,
        deep_supervision: bool = False,
        *,
        patch_size: tuple[int, int] = (320, 320),
    ) -> None:
        super().__init__(in_channels, num_classes, deep_supervision, patch_size=patch_size)
        assert isinstance(self.encoder, ResidualEncoder)
        dim = self.encoder.output_channels[-1]
        self.ln = nn.LayerNorm(dim)
        self.mamba = Mamba(dim)

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        *skips, bottleneck = self.encoder(x)
        return self.decode([*skips, _scan_image(self.ln, self.mamba, bottleneck)])
