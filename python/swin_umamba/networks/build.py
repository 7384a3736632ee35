"""The networks of the systems, by name.

Importing this module loads neither torch nor nnU-Net; building a network does.
"""

from __future__ import annotations

from importlib import import_module
from operator import index
from typing import TYPE_CHECKING, Any

from ..paper.systems import PAPER_PATCH_SIZE, SYSTEMS

if TYPE_CHECKING:
    from .segmentation_network import SegmentationNetwork


def build_model(
    name: str,
    in_channels: int = 1,
    num_classes: int = 14,
    patch_size: tuple[int, int] = PAPER_PATCH_SIZE,
    deep_supervision: bool | None = None,
) -> SegmentationNetwork:
    """Build the network of a system, with random weights.

    Parameters
    ----------
    name : str
        A key of `swin_umamba.paper.systems.SYSTEMS`.
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    patch_size : (int, int)
        Height and width of the training patches, any of at least 1. The U-Nets (``nnunet...``, ``umamba-...``)
        plan their stages for it, and ``unetr`` takes no larger images; the others ignore it.
    deep_supervision : bool or None
        Return the outputs of all scales; ``None`` for what the system is trained with. ``segresnet``,
        ``unetr`` and ``swinunetr`` have one output and cannot.

    Returns
    -------
    SegmentationNetwork
        Maps (B, in_channels, H, W) to logits (B, num_classes, H, W) or, with deep supervision, to a list of
        them with full resolution first. Its attribute ``deep_supervision`` can be set.

    Raises
    ------
    ValueError
        For an unknown name, a number out of range, or deep supervision of a system that has none.
    TypeError
        If a number is no integer.

    Examples
    --------
    >>> network = build_model("nnunet", in_channels=3, num_classes=8, patch_size=(384, 640))
    >>> [tuple(y.shape[2:]) for y in network(torch.rand(1, 3, 384, 640))][:3]
    [(384, 640), (192, 320), (96, 160)]
    """
    if name not in SYSTEMS:
        raise ValueError(f"unknown model {name!r}; choose one of {', '.join(SYSTEMS)}")
    system = SYSTEMS[name]
    in_channels, num_classes = (
        _positive(value, key) for key, value in (("in_channels", in_channels), ("num_classes", num_classes))
    )
    if len(patch_size) != 2:
        raise ValueError(f"patch_size must be (height, width), got {tuple(patch_size)}")
    height, width = (_positive(size, "patch_size") for size in patch_size)
    if deep_supervision is None:
        deep_supervision = system.deep_supervision
    if deep_supervision and not system.deep_supervision:
        raise ValueError(f"{name} has one output and no deep supervision; build it with deep_supervision=False")
    options: dict[str, Any] = {}
    if system.deep_supervision:
        options["deep_supervision"] = deep_supervision
    if system.planned:
        options["patch_size"] = (height, width)
    return network_class(name)(in_channels, num_classes, **options)


def network_class(name: str) -> type[SegmentationNetwork]:
    """The class of a system's network; loads torch and the libraries that it needs."""
    module, _, class_name = SYSTEMS[name].network.rpartition(".")
    return getattr(import_module(f".{module}", __package__), class_name)


def _positive(value: int, key: str) -> int:
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{key} must be an integer, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{key} must be at least 1, got {value}")
    return number
