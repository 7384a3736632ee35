"""The weights of a network inside a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ..common.text import one_line, short_name
from . import CheckpointError
from .placeholder import Placeholder
from .plain_data import has_own_elements

# nnU-Net; VMamba, Swin Transformer and timm; MONAI, Lightning and OpenMMLab; many a tutorial.
WEIGHT_KEYS = ("network_weights", "model", "state_dict", "model_state_dict")


@dataclass(frozen=True)
class Weights:
    """The tensors of a network by name, without the prefixes of DDP, torch.compile and averaged models.

    Attributes
    ----------
    tensors : dict of Tensor
    other_entries : dict of str
        By name, why an entry is none of them.
    """

    tensors: dict[str, Tensor]
    other_entries: dict[str, str]


def find_weights(checkpoint: Any, path: Path) -> Weights:
    """Find the weights in what `read_checkpoint` returned.

    Parameters
    ----------
    checkpoint
        A state dict, or a dict with one under a key of `WEIGHT_KEYS`.
    path
        Of the file, for messages.

    Raises
    ------
    CheckpointError
        There are none, or they hold NaN or infinity, or claim more elements than their storage holds.
    """
    state = _state_dict(checkpoint, path)
    new_names = strip_wrappers(state)
    if len(set(new_names.values())) < len(new_names):
        raise CheckpointError(f"{path} has tensors whose names differ only in the prefixes of DDP or torch.compile")
    tensors = {new: state[name] for name, new in new_names.items() if isinstance(state[name], Tensor)}
    check_sizes(tensors, path)
    _check_finite(tensors, path)
    other = {name: "not a tensor" for name in state if not isinstance(state[name], Tensor)}
    averaging = dict.fromkeys(state.keys() - new_names.keys(), "the number of averaged models")
    return Weights(tensors, {**averaging, **other})


def strip_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Map each parameter name to the one without ``module.`` (DDP) and ``_orig_mod.`` (torch.compile).

    DDP's prefix is one only if all names have it, since a network may have a submodule of that name;
    torch.compile's can be anywhere, as submodules can be compiled. PyTorch's ``AveragedModel`` has DDP's prefix, and
    ``n_averaged`` beside it, which is left out.
    """
    stripped = {name: name.replace("_orig_mod.", "") for name in names}
    while True:
        wrapped = {name: new for name, new in stripped.items() if new != "n_averaged"}
        if not wrapped or not all(new.startswith("module.") for new in wrapped.values()):
            return stripped
        stripped = {name: new.removeprefix("module.") for name, new in wrapped.items()}


def _state_dict(checkpoint: Any, path: Path) -> Mapping[str, Any]:
    if isinstance(checkpoint, dict):
        # First, since other entries of a training checkpoint may be tensors, such as the number of steps.
        for key in WEIGHT_KEYS:
            value = checkpoint.get(key)
            if _is_state_dict(value):
                return value
            if isinstance(value, Placeholder):
                raise CheckpointError(
                    f"{path} holds, under {key!r}, an object of the class {short_name(value.class_name)}, which is "
                    f"not read because that would run code of the file; where it was made, write the network's "
                    f"state_dict() instead"
                )
        if _is_state_dict(checkpoint):
            return checkpoint
        keys = ", ".join(one_line(repr(key), 16) for key in list(checkpoint)[:5])
        content = f"a dict with the keys {keys}" if checkpoint else "an empty dict"
    elif isinstance(checkpoint, Placeholder):
        content = f"an object of the class {short_name(checkpoint.class_name)}"
    else:
        content = f"an object of the type {type(checkpoint).__name__}"
    raise CheckpointError(
        f"{path} holds {content}, and no weights: expected is a state dict, alone or under one of the keys "
        f"{', '.join(WEIGHT_KEYS)}"
    )


def _is_state_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(value, dict)
        and all(isinstance(name, str) for name in value)
        and any(isinstance(tensor, Tensor) for tensor in value.values())
    )


def check_sizes(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise `CheckpointError` where a tensor claims more elements than its storage holds, before anything copies it."""
    for name, tensor in tensors.items():
        if not has_own_elements(tensor):
            raise CheckpointError(
                f"{path} has a tensor {short_name(name)} that claims more elements than its storage holds; where it "
                f"was made, write its clone()"
            )


def _check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    bad = [name for name, tensor in tensors.items() if not is_finite(tensor)]
    if bad:
        raise CheckpointError(
            f"{path} has NaN or infinite values in {len(bad)} of {len(tensors)} tensors, the first being "
            f"{short_name(bad[0])}; the file is damaged or its training had diverged: take another or an earlier "
            f"checkpoint"
        )


def is_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite; in one pass, without a mask as large as the tensor."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.numel() == 0:
        return True
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    low, high = torch.aminmax(tensor.float() if tensor.dtype.itemsize < 4 else tensor)
    return bool(torch.isfinite(low) and torch.isfinite(high))
