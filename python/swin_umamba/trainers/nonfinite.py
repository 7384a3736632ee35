"""What is kept of a training step whose loss or gradient is NaN or infinite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checkpoints.writing import write_checkpoint
from ..common.errors import last_line

SHOWN = 3


def save_step(path: Path, batch: dict[str, Any], network: nn.Module, step: dict[str, Any]) -> str:
    """Write the batch, the weights and the state of the training, and say where the first bad number is.

    That is said too where nothing can be written, as on a full disk.

    Parameters
    ----------
    path
        File to write; see `swin_umamba.checkpoints.writing` for its form.
    batch
        What the data loader gave.
    network
        Its weights are those before the step, with the gradients of the step.
    step
        Everything else to keep, such as epoch, iteration, loss, and the optimizer's state.

    Returns
    -------
    str
        What to tell the user about the cause, what to do, and where the step is.
    """
    bad: dict[str, list[Any]] = {
        "images": find_bad_images(batch["data"]),
        "parameters": [name for name, value in network.named_parameters() if not _is_finite(value)],
        "gradients": [name for name, value in network.named_parameters() if not _is_finite(value.grad)],
    }
    cases = [str(key) for key in batch.get("keys", [])]
    content = {
        **step,
        "batch": {"data": _cpu(batch["data"]), "target": _cpu(batch["target"]), "cases": cases},
        "network_weights": _cpu(network.state_dict()),
        "not_finite": bad,
    }
    try:
        write_checkpoint(path, content)
    # torch.save makes a RuntimeError of one that comes while it closes its archive.
    except (OSError, RuntimeError) as error:
        where = f"The step could not be saved: {last_line(error)}"
    else:
        where = f"The batch, the weights and the optimizer of that step are in {path}"
    return f"{_cause(bad, cases)}. {where}"


def _cause(bad: dict[str, list[Any]], cases: list[str]) -> str:
    if bad["images"]:
        names = [cases[index] if index < len(cases) else f"number {index}" for index in bad["images"]]
        return f"the batch holds NaN or infinite pixels in {_some(names)}: look at these images and their preprocessing"
    if bad["parameters"]:
        return (
            f"{len(bad['parameters'])} parameters were NaN or infinite before this step, {_some(bad['parameters'])}: "
            f"start from other weights"
        )
    return "images and weights were finite: use a lower --learning-rate, or --amp off"


def find_bad_images(data: torch.Tensor) -> list[int]:
    """Which images of a batch hold NaN or infinity."""
    return [index for index, image in enumerate(data) if not _is_finite(image)]


def _is_finite(value: torch.Tensor | None) -> bool:
    return value is None or bool(torch.isfinite(value).all())


def _cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cpu(item) for item in value]
    return value


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
