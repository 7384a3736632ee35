"""What Swin-UMamba and Swin-UMamba† have in common."""

from __future__ import annotations

from .segmentation_network import SegmentationNetwork
from .vssm_encoder import VSSMEncoder


class VMambaSegmentationNetwork(SegmentationNetwork):
    """A segmentation network around a VMamba encoder, whose pretrained part can be frozen.

    A subclass sets ``vssm_encoder``.

    Parameters
    ----------
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    deep_supervision : bool
        Return the outputs of all scales; can be set at any time.
    embed_dim : int
        Number of channels of the first VSS stage, even.

    Raises
    ------
    ValueError
        If ``in_channels`` or ``num_classes`` is less than 1, or ``embed_dim`` is not a positive even number.
    """

    # The smallest map that instance normalisation sees is at 1/16 of the resolution.
    size_multiple = minimum_size = (32, 32)
    vssm_encoder: VSSMEncoder

    def __init__(self, in_channels: int, num_classes: int, deep_supervision: bool, embed_dim: int) -> None:
        super().__init__(in_channels, num_classes, deep_supervision)
        if embed_dim < 2 or embed_dim % 2:
            raise ValueError(f"embed_dim must be a positive even number, got {embed_dim}")

    def freeze_encoder(self) -> None:
        """Stop training the encoder's pretrained part: all of ``vssm_encoder`` except its patch embedding.

        For the first epochs of training from ImageNet weights (paper, section 3.2).
        """
        self._set_encoder_trainable(False)

    def unfreeze_encoder(self) -> None:
        """Train the whole encoder: the inverse of `freeze_encoder`."""
        self._set_encoder_trainable(True)

    def _set_encoder_trainable(self, trainable: bool) -> None:
        for name, parameter in self.vssm_encoder.named_parameters():
            if not name.startswith("patch_embed."):
                parameter.requires_grad_(trainable)
