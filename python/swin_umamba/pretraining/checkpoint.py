"""The weights that a pretraining gives, to start a segmentation from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..checkpoints.writing import write_checkpoint


def save_weights(path: Path, weights: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Write weights in the layout of the released VMamba checkpoint: under the key ``model``.

    Parameters
    ----------
    path : Path
    weights : dict of Tensor
        State of a `swin_umamba.VMambaTiny`.
    facts : dict
        Plain values that are stored beside them.
    """
    # Cloned: a parameter that shares its storage would take the whole storage into the file.
    content = {"model": {name: value.detach().cpu().clone() for name, value in weights.items()}, **facts}
    write_checkpoint(path, content)
