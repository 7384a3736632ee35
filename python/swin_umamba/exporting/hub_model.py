"""A trained network as the Hugging Face Hub has it: ``config.json`` and ``model.safetensors``, in a folder or there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from ..networks.build import build_model


class HubModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="swin-umamba",
    license="apache-2.0",
    pipeline_tag="image-segmentation",
    tags=["swin-umamba", "medical", "mamba"],
):
    """A network of `swin_umamba.build_model` with ``from_pretrained``, ``save_pretrained`` and ``push_to_hub``.

    Parameters
    ----------
    model : str
        A key of `swin_umamba.paper.systems.SYSTEMS`.
    in_channels, num_classes : int
        Channels of an image, and of the logits; at least 1.
    patch_size : sequence of int
        Height and width of the training patches.
    labels : sequence of str
        What the logits stand for, in their order; as many as ``num_classes``.

    Raises
    ------
    ValueError
        For an unknown model, a number out of range, or another number of labels.

    Examples
    --------
    >>> network = HubModel.from_pretrained("exported")  # in evaluation mode
    >>> network.labels[network(image)[0].argmax(0)[y, x]]
    'white matter'
    """

    def __init__(
        self,
        model: str,
        in_channels: int,
        num_classes: int,
        patch_size: Sequence[int] = (320, 320),
        labels: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if labels and len(labels) != num_classes:
            raise ValueError(f"labels must be {num_classes}, one for each output, got {len(labels)}")
        self.labels = tuple(labels)
        height, width = patch_size
        self.network = build_model(model, in_channels, num_classes, (height, width), deep_supervision=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to logits (B, num_classes, H, W)."""
        logits: Tensor = self.network(image)
        return logits

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **options: Any) -> HubModel:
        """As the mixin does, which unless told otherwise leaves at random what the file has no weights for."""
        model: HubModel = super()._from_pretrained(strict=strict, **options)
        return model
