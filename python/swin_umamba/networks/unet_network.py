"""What the U-Nets built of dynamic-network-architectures have in common."""

from __future__ import annotations

from typing import Any

from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from dynamic_network_architectures.building_blocks.unet_residual_decoder import UNetResDecoder
from torch import Tensor, nn

from .instance_norm import InstanceNorm2d
from .segmentation_network import SegmentationNetwork
from .unet_topology import UNetTopology


class UNetNetwork(SegmentationNetwork):
    """A network with a ``decoder`` of dynamic-network-architectures, in the topology that nnU-Net plans.

    A subclass sets ``encoder`` and ``decoder``. Deep supervision works at the map of every stage but the coarsest.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    deep_supervision : bool
        Return the outputs of all scales; can be set at any time.
    topology : UNetTopology
    library_arguments : mapping
        As in `SegmentationNetwork`.
    """

    encoder: nn.Module
    decoder: UNetDecoder | UNetResDecoder

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        deep_supervision: bool,
        topology: UNetTopology,
        library_arguments: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(in_channels, num_classes, deep_supervision, library_arguments)
        *strides, self.size_multiple = topology.total_strides
        self.output_strides = tuple(strides)
        # Two pixels of the coarsest map, since instance normalisation needs more than one.
        rows, columns = self.size_multiple
        self.minimum_size = (2 * rows, 2 * columns)

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        return self.decode(self.encoder(x))

    def decode(self, skips: list[Tensor]) -> list[Tensor]:
        """Logits from fine to coarse (only the first without deep supervision) of the maps of all stages."""
        # The decoder has a switch of its own.
        self.decoder.deep_supervision = self.deep_supervision
        logits = self.decoder(skips)
        return logits if self.deep_supervision else [logits]


def stage_arguments(in_channels: int, topology: UNetTopology) -> dict[str, Any]:
    """Arguments that the encoders of dynamic-network-architectures share: nnU-Net's in 2-D."""
    return {
        "input_channels": in_channels,
        "n_stages": topology.stages,
        "features_per_stage": topology.features,
        "conv_op": nn.Conv2d,
        "kernel_sizes": 3,
        "strides": topology.strides,
        "conv_bias": True,
        "norm_op": InstanceNorm2d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }
