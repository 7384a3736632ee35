"""nnU-Net's network, the first baseline of the paper."""

from __future__ import annotations

from dynamic_network_architectures.architectures.unet import PlainConvUNet

from .instance_norm import fuse_instance_norm
from .unet_network import UNetNetwork, stage_arguments
from .unet_topology import plan_topology

CONVOLUTIONS_PER_STAGE = 2


class NNUNet(UNetNetwork, PlainConvUNet):
    """The U-Net that nnU-Net plans (arXiv:1904.08128): two convolutions per stage, strided downsampling.

    It is ``PlainConvUNet`` of the package dynamic-network-architectures, with the same names of parameters,
    so that checkpoints of nnU-Net's own trainer fit. Deep supervision works at every stage but the coarsest.

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
        arguments = {
            **stage_arguments(in_channels, topology),
            "num_classes": num_classes,
            "n_conv_per_stage": CONVOLUTIONS_PER_STAGE,
            "n_conv_per_stage_decoder": CONVOLUTIONS_PER_STAGE,
        }
        super().__init__(in_channels, num_classes, deep_supervision, topology, arguments)
        self.apply(PlainConvUNet.initialize)
        fuse_instance_norm(self)
