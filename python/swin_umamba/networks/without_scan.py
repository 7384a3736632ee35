"""The networks with scans, without them: the controls that show what the scan is worth.

In each SS2D and Mamba layer the selective scan is replaced by the identity, and all else is the same: projections,
convolution, gate and norm. That is what a scan gives whose state is always zero, as its direct path is 1 at the start
(four times 1 in SS2D, which the norm after it takes out). From one random state a network and its twin start with the
same weights, but those of the scan, which the twin does not have.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from .mamba_block import Mamba
from .ss2d import SS2D
from .swin_umamba import SwinUMamba
from .swin_umamba_d import SwinUMambaD
from .umamba import UMambaBot, UMambaEnc


def remove_scans(network: nn.Module) -> None:
    """Remove the scans of a network that has just been built; no layer gives the same as before."""
    for module in network.modules():
        if isinstance(module, (SS2D, Mamba)):
            module.remove_scan()


class SwinUMambaNoScan(SwinUMamba):
    """`SwinUMamba` without scans; the arguments are the same."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        remove_scans(self)


class SwinUMambaDNoScan(SwinUMambaD):
    """`SwinUMambaD` without scans; the arguments are the same."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        remove_scans(self)


class UMambaBotNoScan(UMambaBot):
    """`UMambaBot` without scans; the arguments are the same."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        remove_scans(self)


class UMambaEncNoScan(UMambaEnc):
    """`UMambaEnc` without scans; the arguments are the same."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        remove_scans(self)
