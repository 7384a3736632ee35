"""The state of a training in a checkpoint, checked before a training goes on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..checkpoints import CheckpointError
from ..checkpoints.plain_data import read_entries
from ..common.text import one_line

_KINDS: dict[str, type | tuple[type, ...]] = {
    "network_weights": dict,
    "optimizer_state": dict,
    "grad_scaler_state": (dict, type(None)),
    "logging": dict,
    "_best_ema": (float, int, type(None)),
    "current_epoch": int,
    "inference_allowed_mirroring_axes": (list, tuple, type(None)),
    "trainer_name": str,
    "init_args": dict,
}
_WANTED = {"init_args": ("plans", "configuration", "fold")}


def read_state(path: Path) -> dict[str, Any]:
    """Read what nnU-Net's checkpoints hold of a training.

    Raises
    ------
    CheckpointError
        The file cannot be read, or holds something else.
    """
    state = read_entries(path, _KINDS, _WANTED)
    epochs, axes = state["current_epoch"], state["inference_allowed_mirroring_axes"]
    if epochs < 0:
        raise CheckpointError(f"{path} has {epochs} for its 'current_epoch'")
    if not all(type(axis) is int and 0 <= axis <= 2 for axis in axes or ()):
        raise CheckpointError(f"{path} has something else than axes for its 'inference_allowed_mirroring_axes'")
    for key, values in state["logging"].items():
        if not isinstance(values, list) or len(values) > epochs or not all(map(_is_logged, values)):
            raise CheckpointError(f"{path} has something else than values of {epochs} epochs in its log of {key!r:.40}")
    losses = state["logging"].get("train_losses", ())
    if 0 < len(losses) < epochs:
        # It would be taken for the end of a training that has not been.
        raise CheckpointError(f"{path} has {epochs} for its 'current_epoch', but the losses of {len(losses)} epochs")
    return state


def check_written_by(path: Path, state: dict[str, Any], trainer: str, data_set: str, fold: int | str) -> None:
    """Raise `CheckpointError` if a state was written by another trainer, or of another data set or fold.

    Networks of one shape are of several, and another fold's has learned from the cases that are held out here.
    """
    plans = state["init_args"]["plans"]
    of_fold = state["init_args"]["fold"]
    its_data_set = plans.get("dataset_name", data_set) if isinstance(plans, dict) else data_set
    written = (state["trainer_name"], str(its_data_set), str(fold if of_fold is None else of_fold))
    if written != (wanted := (trainer, data_set, str(fold))):
        shown = [
            f"{one_line(name, 60)} on {one_line(data, 60)}, fold {one_line(of, 20)}"
            for name, data, of in (written, wanted)
        ]
        raise CheckpointError(f"{path} was written by {shown[0]}, and this training is {shown[1]}")


def _is_logged(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(number, int | float) for number in values)


def check_optimizer(optimizer: torch.optim.Optimizer, former_groups: list[dict[str, Any]]) -> None:
    """Raise ``ValueError`` if a loaded state is not of the optimizer's parameters, which ``load_state_dict`` lets pass.

    Parameters
    ----------
    optimizer
        It has loaded the state.
    former_groups
        Its ``param_groups`` before.
    """
    for group, former in zip(optimizer.param_groups, former_groups, strict=True):
        for key, value in former.items():
            numbers = isinstance(value, int | float) and isinstance(group.get(key), int | float)
            if key not in group or not (numbers or None in (value, group[key]) or type(value) is type(group[key])):
                raise ValueError(f"the optimizer has no or another {key!r}")
        for parameter in group["params"]:
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape != parameter.shape:
                    raise ValueError("the optimizer's state is of other parameters")
