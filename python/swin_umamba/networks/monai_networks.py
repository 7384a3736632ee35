"""SegResNet, UNETR and SwinUNETR: MONAI's networks with the arguments that the paper compared."""

from __future__ import annotations

from monai.networks import nets
from torch import Tensor

from .instance_norm import fuse_instance_norm
from .segmentation_network import SegmentationNetwork


class SegResNet(SegmentationNetwork, nets.SegResNet):  # type: ignore[misc] # its forward is not called by others
    """MONAI's SegResNet (arXiv:1810.11654) in 2-D, without the autoencoder branch; no deep supervision.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1.
    """

    size_multiple = (8, 8)
    output_strides = ((1, 1),)

    def __init__(self, in_channels: int = 1, num_classes: int = 14) -> None:
        arguments = {
            "spatial_dims": 2,
            "init_filters": 32,
            "in_channels": in_channels,
            "out_channels": num_classes,
            "blocks_down": (1, 2, 2, 4),
            "blocks_up": (1, 1, 1),
        }
        super().__init__(in_channels, num_classes, False, arguments)

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        return [nets.SegResNet.forward(self, x)]


class UNETR(SegmentationNetwork, nets.UNETR):
    """MONAI's UNETR (arXiv:2103.10504) in 2-D; no deep supervision.

    Its position embedding has the size of the patch: smaller images are padded, larger ones refused.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    patch_size : (int, int)
        Largest height and width of an image; rounded up to multiples of 16.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1.
    """

    size_multiple = (16, 16)
    output_strides = ((1, 1),)

    def __init__(
        self, in_channels: int = 1, num_classes: int = 14, *, patch_size: tuple[int, int] = (320, 320)
    ) -> None:
        rows, columns = (extent + -extent % 16 for extent in patch_size)
        size = (rows, columns)
        arguments = {
            "spatial_dims": 2,
            "in_channels": in_channels,
            "out_channels": num_classes,
            "img_size": size,
            "feature_size": 16,
            "hidden_size": 768,
            "mlp_dim": 3072,
            "num_heads": 12,
            "proj_type": "conv",
            "norm_name": "instance",
            "res_block": True,
        }
        super().__init__(in_channels, num_classes, False, arguments)
        self.minimum_size = size
        fuse_instance_norm(self)

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        return [nets.UNETR.forward(self, x)]

    def _check_input(self, x: Tensor) -> None:
        super()._check_input(x)
        (height, width), (rows, columns) = x.shape[2:], self.minimum_size
        if height > rows or width > columns:
            raise ValueError(
                f"this UNETR takes images of at most {rows}x{columns} pixels, got {height}x{width}; "
                f"its position embedding is made for the patch_size it is built with"
            )


class SwinUNETR(SegmentationNetwork, nets.SwinUNETR):
    """MONAI's SwinUNETR (arXiv:2201.01266) in 2-D; no deep supervision.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1.
    """

    size_multiple = (32, 32)
    # The coarsest map, at 1/32, is instance-normalised, which needs more than one pixel.
    minimum_size = (64, 64)
    output_strides = ((1, 1),)

    def __init__(self, in_channels: int = 1, num_classes: int = 14) -> None:
        arguments = {
            "spatial_dims": 2,
            "in_channels": in_channels,
            "out_channels": num_classes,
            "depths": (2, 2, 2, 2),
            "num_heads": (3, 6, 12, 24),
            "feature_size": 48,
            "norm_name": "instance",
        }
        super().__init__(in_channels, num_classes, False, arguments)
        fuse_instance_norm(self)

    def forward_padded(self, x: Tensor) -> list[Tensor]:
        return [nets.SwinUNETR.forward(self, x)]
