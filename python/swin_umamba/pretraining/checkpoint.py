"""Files of a pretraining run: its state, to go on with, and the weights, to start a segmentation from."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..files import replace_atomically


def save(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint; a half-written one never takes the place of a whole one."""
    with replace_atomically(path) as file:
        torch.save(content, file)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors and plain values; no code from the file is run.

    Raises
    ------
    UserError
        The file is not such a checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"cannot read the checkpoint {path}: {reason}") from error


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
    save({"model": {name: value.detach().cpu().clone() for name, value in weights.items()}, **facts}, path)
