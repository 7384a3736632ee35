"""The nine systems of the paper's Table 2, by name.

Importing this module loads neither torch nor nnU-Net; building a network does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from operator import index
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .networks.segmentation_network import SegmentationNetwork

PAPER_PATCH_SIZE = (320, 320)


@dataclass(frozen=True)
class System:
    """One row of the paper's Table 2.

    Attributes
    ----------
    name : str
        On the command line.
    title : str
        In the paper.
    network : str
        Module and class below `swin_umamba.networks`.
    trainer : str
        Class name of its nnU-Net trainer.
    parameters, operations : float
        What the paper prints: parameters in millions, multiply-accumulates in G (AbdomenMR).
    deep_supervision : bool
        Whether it is trained with deep supervision; without, it has a single output.
    planned : bool
        Whether the network depends on the patch size.
    needs_kernels : bool
        Whether the network has selective scans, which take the CUDA kernels of this package on a GPU.
    """

    name: str
    title: str
    network: str
    trainer: str
    parameters: float
    operations: float
    deep_supervision: bool = True
    planned: bool = False
    needs_kernels: bool = False

    @property
    def network_class(self) -> type[SegmentationNetwork]:
        """The class of the network; loads torch and the libraries that it needs."""
        module, _, name = self.network.rpartition(".")
        return getattr(import_module(f".networks.{module}", __package__), name)


def build_model(
    name: str,
    in_channels: int = 1,
    num_classes: int = 14,
    patch_size: tuple[int, int] = PAPER_PATCH_SIZE,
    deep_supervision: bool | None = None,
) -> SegmentationNetwork:
    """Build the network of one of the paper's systems, with random weights.

    Parameters
    ----------
    name : str
        A key of `SYSTEMS`.
    in_channels : int
        Number of channels of the image, at least 1.
    num_classes : int
        Number of output channels (logits), background included, at least 1.
    patch_size : (int, int)
        Height and width of the training patches, any of at least 1. The U-Nets (``nnunet``, ``umamba-bot``,
        ``umamba-enc``) plan their stages for it, and ``unetr`` takes no larger images; the others ignore it.
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
    return system.network_class(in_channels, num_classes, **options)


def _positive(value: int, key: str) -> int:
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{key} must be an integer, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{key} must be at least 1, got {value}")
    return number


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "swin-umamba",
            "Swin-UMamba",
            "swin_umamba.SwinUMamba",
            "nnUNetTrainerSwinUMamba",
            60,
            68.0,
            needs_kernels=True,
        ),
        System(
            "swin-umamba-d",
            "Swin-UMamba†",
            "swin_umamba_d.SwinUMambaD",
            "nnUNetTrainerSwinUMambaD",
            28,
            18.9,
            needs_kernels=True,
        ),
        System("nnunet", "nnU-Net", "nnunet.NNUNet", "nnUNetTrainerPlainConvUNet", 33, 23.3, planned=True),
        System(
            "segresnet",
            "SegResNet",
            "monai_networks.SegResNet",
            "nnUNetTrainerSegResNet",
            6,
            24.5,
            deep_supervision=False,
        ),
        System(
            "unetr",
            "UNETR",
            "monai_networks.UNETR",
            "nnUNetTrainerUNETR",
            87,
            42.1,
            deep_supervision=False,
            planned=True,
        ),
        System(
            "swinunetr",
            "SwinUNETR",
            "monai_networks.SwinUNETR",
            "nnUNetTrainerSwinUNETR",
            25,
            27.9,
            deep_supervision=False,
        ),
        System("nnformer", "nnFormer", "nnformer.NNFormer", "nnUNetTrainerNNFormer", 60, 50.2),
        System(
            "umamba-bot",
            "U-Mamba_Bot",
            "umamba.UMambaBot",
            "nnUNetTrainerUMambaBot",
            63,
            45.7,
            planned=True,
            needs_kernels=True,
        ),
        System(
            "umamba-enc",
            "U-Mamba_Enc",
            "umamba.UMambaEnc",
            "nnUNetTrainerUMambaEnc",
            67,
            49.9,
            planned=True,
            needs_kernels=True,
        ),
    )
}
"""The systems by name: the paper's two, then the baselines in the order of Table 2."""
