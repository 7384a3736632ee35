"""The nine systems of the paper's Table 2 and those beyond it, by name; importing this loads no torch."""

from __future__ import annotations

from ..common.light_dataclass import dataclass, replace

PAPER_PATCH_SIZE = (320, 320)


@dataclass(frozen=True)
class System:
    """One row of the paper's Table 2, or another network with its trainer.

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
    parameters, operations : float or None
        What the paper prints: parameters in millions, multiply-accumulates in G (AbdomenMR); ``None`` where it does not
        have the system.
    deep_supervision : bool
        Whether it is trained with deep supervision; without, it has a single output.
    planned : bool
        Whether the network depends on the patch size.
    needs_kernels : bool
        Whether the network has selective scans, which take the CUDA kernels of this package on a GPU.
    planner : str or None
        nnU-Net's planner that chooses its patch and batch size, where that is not the default one.
    twin_of : str or None
        The system that it is without scans; all else is the same.
    mixed_precision : bool
        Whether it is trained and predicted with in mixed precision where the device has it.
    """

    name: str
    title: str
    network: str
    trainer: str
    parameters: float | None = None
    operations: float | None = None
    deep_supervision: bool = True
    planned: bool = False
    needs_kernels: bool = False
    planner: str | None = None
    twin_of: str | None = None
    mixed_precision: bool = True


_TABLE_2 = {
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
            mixed_precision=False,
        ),
        System(
            "unetr",
            "UNETR",
            "monai_networks.UNETR",
            "nnUNetTrainerUNETR",
            87,
            42.1,
            deep_supervision=False,
            mixed_precision=False,
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
            mixed_precision=False,
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


def _without_scan(name: str) -> System:
    system = _TABLE_2[name]
    network = system.network.rpartition(".")[-1]
    return replace(
        system,
        name=f"{name}-noscan",
        title=f"{system.title}, no scan",
        network=f"without_scan.{network}NoScan",
        trainer=f"{system.trainer}NoScan",
        parameters=None,
        operations=None,
        needs_kernels=False,
        twin_of=name,
    )


_RESENC = {
    f"nnunet-resenc-{size.lower()}": System(
        f"nnunet-resenc-{size.lower()}",
        f"nnU-Net ResEnc {size}",
        "nnunet_resenc.NNUNetResEnc",
        f"nnUNetTrainerResEnc{size}",
        planned=True,
        planner=f"nnUNetPlannerResEnc{size}",
    )
    for size in ("M", "L")
}

SYSTEMS: dict[str, System] = {
    **_TABLE_2,
    **_RESENC,
    **{twin.name: twin for twin in map(_without_scan, ("swin-umamba", "swin-umamba-d", "umamba-bot", "umamba-enc"))},
}
"""The systems by name: the paper's two, the baselines in the order of Table 2, nnU-Net's presets with a residual
encoder, and the systems with scans without them."""


def find_system(trainer: str) -> System | None:
    """The system that a trainer of this package trains, by the name of its class; ``None`` of another's."""
    for system in SYSTEMS.values():
        is_own = system.name in ("swin-umamba", "swin-umamba-d")  # which may be trained from random weights too
        if trainer == system.trainer or (is_own and trainer == f"{system.trainer}Scratch"):
            return system
    return None
