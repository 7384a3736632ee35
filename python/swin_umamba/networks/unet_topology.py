"""Depth and width of the U-Nets that nnU-Net plans for a patch size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

FEATURES, MAXIMUM_FEATURES = 32, 512
MINIMUM_MAP = 4


@dataclass(frozen=True)
class UNetTopology:
    """The stages of a U-Net, from fine to coarse.

    Attributes
    ----------
    features : tuple of int
        Number of channels of each stage.
    strides : tuple of (int, int)
        By which each stage reduces height and width.
    """

    features: tuple[int, ...]
    strides: tuple[tuple[int, int], ...]

    @property
    def stages(self) -> int:
        return len(self.strides)

    @property
    def total_strides(self) -> tuple[tuple[int, int], ...]:
        """Stride of each stage's map to the image."""
        return tuple((int(rows), int(columns)) for rows, columns in np.cumprod(self.strides, axis=0))


def plan_topology(patch_size: tuple[int, int]) -> UNetTopology:
    """Stages as nnU-Net's planner chooses them in 2-D for isotropic pixels.

    An axis is halved while its map stays at 4 pixels or more (at 6, once the other axis is done), and the features
    double from 32 up to 512 (nnU-Net, arXiv:1904.08128). At 320x320 that gives the paper's 7 stages.

    Parameters
    ----------
    patch_size : (int, int)
        Height and width. Less than 8 counts as 8, so that there are two stages at least.
    """
    size = [max(extent, 2 * MINIMUM_MAP) for extent in patch_size]
    strides = get_pool_and_conv_props((1.0, 1.0), size, MINIMUM_MAP, 999_999)[1]
    features = tuple(min(FEATURES * 2**stage, MAXIMUM_FEATURES) for stage in range(len(strides)))
    return UNetTopology(features, tuple(tuple(stride) for stride in strides))
