"""A trained model on disk: the exported checkpoint of a run, or what nnU-Net leaves of a training."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import CheckpointError, read_checkpoint
from ..checkpoints.plain_data import plain_data
from ..checkpoints.weights import strip_wrappers
from ..common.errors import UserError, last_line
from ..common.text import short_name
from ..common.typed_json import load_json
from ..runs.settings import AMP_CHOICES

FINAL = "checkpoint_final.pth"
_WANTED = "give checkpoint.pth of a run, or a checkpoint or the folder of a model that nnU-Net has trained"


@dataclass(frozen=True)
class TrainedModel:
    """What prediction needs of a training, as nnU-Net stores it.

    Attributes
    ----------
    weights : tuple of dict
        State of the network; of several folds, whose outputs are averaged, one each.
    plans, dataset_json : dict
        nnU-Net's plans, and the ``dataset.json`` of the training data.
    configuration : str
        Which of the plans' configurations was trained, here ``"2d"``.
    trainer_name : str
        Name of the trainer class, which knows the network.
    mirroring_axes : tuple of int or None
        Axes along which training mirrored the images.
    amp : str
        Mixed precision of the training, see `swin_umamba.trainers.precision`; of a checkpoint that does not say, as of
        nnU-Net's own trainers, ``"auto"``.
    files : tuple of pathlib.Path
        The checkpoints that were read.
    digest : str
        SHA-256 of these files, the plans and the ``dataset.json``.
    """

    weights: tuple[dict[str, torch.Tensor], ...]
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    configuration: str
    trainer_name: str
    mirroring_axes: tuple[int, ...] | None
    amp: str
    files: tuple[Path, ...]
    digest: str

    @property
    def needs_kernels(self) -> bool:
        """Whether the network takes the CUDA kernels of this package on a GPU: it has weights of SS2D or Mamba."""
        return any(name.rpartition(".")[-1] in ("A_logs", "A_log") for name in self.weights[0])


def read_model(location: str | Path, argument: str = "--checkpoint") -> TrainedModel:
    """Read a model without running code from its files.

    Parameters
    ----------
    location
        A checkpoint of nnU-Net, as ``checkpoint.pth`` of a run is one; or a folder: of a run, of a fold, or
        nnU-Net's ``Trainer__Plans__configuration``, of which every fold with a ``checkpoint_final.pth`` is taken
        (``fold_all`` where there is no other).
    argument
        What messages call it.

    Returns
    -------
    TrainedModel
        Of a checkpoint in a ``fold_X`` folder with ``plans.json`` and ``dataset.json`` above it, these are taken,
        as nnU-Net does; otherwise the ones in the checkpoint.

    Raises
    ------
    UserError
        There is no checkpoint, or it is not a whole one of nnU-Net; the message says what is missing.
    """
    files = _checkpoint_files(Path(location), argument)
    checkpoints = [_read(file) for file in files]
    first = checkpoints[0]
    plans, dataset_json = _plans(files[0], first)
    for file, checkpoint in zip(files[1:], checkpoints[1:], strict=True):
        if checkpoint["trainer_name"] != first["trainer_name"]:
            raise UserError(
                f"{file} is of {checkpoint['trainer_name']}, {files[0]} of {first['trainer_name']}; give one of them"
            )
    axes = first.get("inference_allowed_mirroring_axes")
    return TrainedModel(
        weights=tuple(checkpoint["network_weights"] for checkpoint in checkpoints),
        plans=plans,
        dataset_json=dataset_json,
        configuration=first["init_args"]["configuration"],
        trainer_name=first["trainer_name"],
        mirroring_axes=None if axes is None else tuple(axes),
        amp=first.get("amp", "auto"),
        files=files,
        digest=_digest(files, plans, dataset_json),
    )


def _checkpoint_files(location: Path, argument: str) -> tuple[Path, ...]:
    if location.is_file():
        return (location,)
    if not location.is_dir():
        raise UserError(f"{argument} {location} does not exist; {_WANTED}")
    for name in ("checkpoint.pth", FINAL):
        if (location / name).is_file():
            return (location / name,)
    folds = sorted(location.glob(f"fold_*/{FINAL}"))
    files = tuple(file for file in folds if file.parent.name != "fold_all") or tuple(folds)
    if not files:
        raise UserError(f"{argument} {location} holds no checkpoint.pth, {FINAL} or fold_X/{FINAL}; {_WANTED}")
    return files


def _read(file: Path) -> dict[str, Any]:
    checkpoint = read_checkpoint(file)
    for key, kind in (("network_weights", dict), ("trainer_name", str), ("init_args", dict)):
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(key), kind):
            raise UserError(f"{file} has no {key!r}, so it is no checkpoint of nnU-Net's training; {_WANTED}")
    kept = ("network_weights", "trainer_name", "inference_allowed_mirroring_axes", "amp")
    parts = {key: plain_data(checkpoint[key], f"{file}, in {key!r},") for key in kept if key in checkpoint}
    described = ("configuration", "plans", "dataset_json")
    init_args = {key: checkpoint["init_args"].get(key) for key in described}
    parts["init_args"] = plain_data(init_args, f"{file}, in its plans,")
    if not isinstance(parts["init_args"]["configuration"], str):
        raise UserError(f"{file} does not say which configuration was trained; {_WANTED}")
    if parts.get("amp", "auto") not in AMP_CHOICES:
        raise UserError(f"{file} has the unknown mixed precision {short_name(repr(parts['amp']))}; {_WANTED}")
    axes = parts.get("inference_allowed_mirroring_axes")
    if axes is not None and not (isinstance(axes, list | tuple) and all(type(axis) is int for axis in axes)):
        raise UserError(f"{file} has the unknown axes of mirroring {short_name(repr(axes))}; {_WANTED}")
    weights = parts["network_weights"]
    if not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in weights.items()):
        raise UserError(f"{file} has something else than tensors in its 'network_weights'; {_WANTED}")
    parts["network_weights"] = {new: weights[name] for name, new in strip_wrappers(weights).items()}
    return parts


def _plans(file: Path, checkpoint: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    beside = [file.parent.parent / f"{name}.json" for name in ("plans", "dataset")]
    if file.parent.name.startswith("fold_") and all(path.is_file() for path in beside):
        try:
            plans, dataset_json = (plain_data(load_json(path, with_nan=True), str(path)) for path in beside)
        except CheckpointError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {beside[0]} and {beside[1].name} beside it: {last_line(error)}") from error
    else:
        plans, dataset_json = (checkpoint["init_args"].get(name) for name in ("plans", "dataset_json"))
    if not isinstance(plans, dict) or not isinstance(dataset_json, dict):
        raise UserError(
            f"{file} holds no plans; put it into nnU-Net's folder of the trained model, in fold_X below plans.json "
            f"and dataset.json"
        )
    return plans, dataset_json


def _digest(files: tuple[Path, ...], *descriptions: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    for description in descriptions:
        try:
            digest.update(json.dumps(description, sort_keys=True).encode())
        except TypeError as error:
            raise UserError(f"the plans of {files[0]} have keys of several types in one dict; {_WANTED}") from error
    return digest.hexdigest()
