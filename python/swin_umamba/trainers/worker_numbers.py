"""Random numbers of torch that are each worker's own."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform


class OwnTorchNumbers(BasicTransform):
    """Seeds torch's generator, from numpy's, before the first image that a worker augments; changes no image.

    Each worker of nnU-Net's has a seed of its own for numpy, but a copy of torch's generator: they would all draw the
    same mirroring, noise and choice of transforms. In the training process itself nothing is seeded.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seeded_in = os.getpid()

    def apply(self, data_dict: dict[str, Any], **_: Any) -> dict[str, Any]:
        if os.getpid() != self._seeded_in:
            torch.manual_seed(int(np.random.randint(2**31)))  # noqa: NPY002 - the generator that each worker has seeded
            self._seeded_in = os.getpid()
        return data_dict
