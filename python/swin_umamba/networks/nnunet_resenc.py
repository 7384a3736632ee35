"""nnU-Net's residual-encoder U-Net, the baseline that "nnU-Net Revisited" (arXiv:2404.09556) recommends."""

from __future__ import annotations

from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

from .instance_norm import fuse_instance_norm
from .unet_network import UNetNetwork, stage_arguments
from .unet_topology import plan_topology

BLOCKS_PER_STAGE = (1, 3, 4, 6)
"""Of the encoder; the stages after these have as many as the last. The decoder has one convolution per stage."""


class NNUNetResEnc(UNetNetwork, ResidualEncoderUNet):
    """The residual-encoder U-Net that nnU-Net's ResEnc planners plan.

    Their presets M and L differ in the patch and batch size that they plan, and in nothing else: of one patch size both
    are this network. It is ``ResidualEncoderUNet`` of the package dynamic-network-architectures, with the same names of
    parameters, so that checkpoints of nnU-Net's own trainer fit. Deep supervision works at every stage but the
    coarsest.

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

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 14,
        deep_supervision: bool = False,
        *,
        patch_size: tuple[int, int] = (320, 320),
    ) -> None:
        topology = plan_topology(patch_size)
        blocks = BLOCKS_PER_STAGE + BLOCKS_PER_STAGE[-1:] * topology.stages
        arguments = {
            **stage_arguments(in_channels, topology),
            "num_classes": num_classes,
            "n_blocks_per_stage": blocks[: topology.stages],
            "n_conv_per_stage_decoder": 1,
        }
        super().__init__(in_channels, num_classes, deep_supervision, topology, arguments)
        self.apply(ResidualEncoderUNet.initialize)
        fuse_instance_norm(self)
