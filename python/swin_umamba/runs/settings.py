"""The settings of one training run, and the defaults of the sample, the paper's and other data sets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..paper.protocol import find_protocol
from ..paper.systems import SYSTEMS

# Names on the command line and the classes of `swin_umamba.trainers.registry`; kept apart from the
# classes because importing those takes seconds, which `--help` should not.
TRAINERS = {name: system.trainer for name, system in SYSTEMS.items()}

PRETRAINABLE = ("swin-umamba", "swin-umamba-d")
"""The models whose encoder takes ImageNet weights; without them they have trainers named ``...Scratch``."""

AMP_CHOICES = ("auto", "off", "bfloat16", "float16")
INPUT_CHANNELS_CHOICES = ("skip", "sum", "mean")

OF_PRETRAINED = ("input_channels", "freeze_epochs")
"""The fields of `Settings` that say what becomes of pretrained weights."""

# What None stands for.
_UNSAID = {
    "dataset": "the sample",
    "pretrained": "none",
    "batch_size": "left to nnU-Net",
    "patch_size": "left to nnU-Net",
    "learning_rate": "left to the model",
    "deep_supervision": "left to the model",
    "checkpoint_epoch": "the last",
}
_WORDS = {"dataset": "data set", "pretrained": "pretrained weights"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides the result of a run; stored with it, so that it can be resumed.

    Attributes
    ----------
    dataset : str or None
        Folder of the raw data set; ``None`` for the sample.
    model : str
        A key of `TRAINERS`.
    pretrained : str or None
        File of the encoder's ImageNet weights; ``None`` starts from random weights.
    input_channels : str
        What becomes of the pretrained patch embedding where the images have other channels than it was made for, see
        `swin_umamba.load_pretrained`.
    freeze_epochs : int
        Epochs for which pretrained weights stay as they are.
    epochs, iterations : int
        Epochs, and training iterations per epoch; a fifth as many validation iterations, as in nnU-Net.
    batch_size : int or None
        Images of one iteration, of all devices together; ``None`` leaves it to nnU-Net's planner.
    patch_size : tuple of int or None
        Height and width; ``None`` leaves it to nnU-Net's planner. A multiple of 32 wastes nothing on padding.
    learning_rate : float or None
        Of the first epoch; ``None`` takes the trainer's own.
    deep_supervision : bool or None
        Whether the loss sees all scales; ``None`` leaves it to the trainer.
    fold : int or str
        Fold of nnU-Net's cross-validation, or ``"all"``.
    checkpoint_epoch : int or None
        The epoch, counted from 0, whose weights predict the held-out cases; ``None`` for the last.
    amp : str
        Mixed precision, one of `AMP_CHOICES`.
    seed : int
        Of the weights, the sampling and the augmentation.
    nsd_tolerance : float
        Tolerance of the normalized surface distance, in the unit of the image spacing.
    """

    dataset: str | None
    model: str = "swin-umamba-d"
    pretrained: str | None = None
    input_channels: str = "skip"
    freeze_epochs: int = 10
    epochs: int = 100
    iterations: int = 250
    batch_size: int | None = None
    patch_size: tuple[int, int] | None = None
    learning_rate: float | None = None
    deep_supervision: bool | None = None
    fold: int | str = 0
    checkpoint_epoch: int | None = None
    amp: str = "auto"
    seed: int = 0
    nsd_tolerance: float = 1.0

    @property
    def trainer(self) -> str:
        """Name of the trainer's class."""
        scratch = self.model in PRETRAINABLE and self.pretrained is None
        return TRAINERS[self.model] + ("Scratch" if scratch else "")

    def as_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return {**values, "patch_size": None if self.patch_size is None else list(self.patch_size)}


# Chosen for two processor cores and some minutes, from random initialisation.
SAMPLE_SETTINGS = Settings(
    dataset=None, epochs=10, iterations=20, batch_size=4, patch_size=(128, 128), learning_rate=1e-3
)


def default_settings(dataset: str | None, model: str, pretrained: str | None) -> Settings:
    """The settings of a run about which nothing else was said.

    Parameters
    ----------
    dataset
        Folder of the raw data set; ``None`` for the sample. The paper's data sets have the paper's settings.
    model
        A key of `TRAINERS`.
    pretrained
        File of the encoder's ImageNet weights, or ``None``.
    """
    said = {"model": model, "pretrained": pretrained}
    if dataset is None:
        # The rate of the sample suits AdamW on the Swin-UMambas; the others keep their own.
        rate = SAMPLE_SETTINGS.learning_rate if model in PRETRAINABLE else None
        return dataclasses.replace(SAMPLE_SETTINGS, learning_rate=rate, **said)
    settings = Settings(dataset=dataset, **said)
    protocol = find_protocol(Path(dataset).name, model, pretrained is not None)
    if protocol is None:
        return settings
    return dataclasses.replace(
        settings,
        epochs=protocol.epochs,
        patch_size=protocol.patch_size,
        checkpoint_epoch=protocol.checkpoint_epoch,
        deep_supervision=protocol.deep_supervision,
        fold=protocol.fold,
    )


def choose_settings(said: dict[str, Any], defaults: Settings) -> Settings:
    """Complete what the user said by the defaults.

    Parameters
    ----------
    said
        Fields of `Settings` that the user gave a value.
    defaults
        See `default_settings`.

    Raises
    ------
    UserError
        ``checkpoint_epoch`` is not among the epochs, or the model has no deep supervision.
    """
    settings = dataclasses.replace(defaults, **said)
    if settings.deep_supervision and not SYSTEMS[settings.model].deep_supervision:
        raise UserError(f"--deep-supervision: {settings.model} has one output and no deep supervision; leave it out")
    if "checkpoint_epoch" in said:
        if said["checkpoint_epoch"] >= settings.epochs:
            raise UserError(
                f"--checkpoint-epoch {said['checkpoint_epoch']}: the {settings.epochs} epochs are counted from 0 to "
                f"{settings.epochs - 1}"
            )
    elif settings.epochs != defaults.epochs:
        # The paper's checkpoint means something only in a training of the paper's length.
        settings = dataclasses.replace(settings, checkpoint_epoch=None)
    return settings


def check_scratch(said: dict[str, Any]) -> None:
    """Raise `UserError` if the user said what becomes of pretrained weights, for a training without any."""
    for name in OF_PRETRAINED:
        if name in said:
            option = f"--{name.replace('_', '-')} {said[name]}"
            raise UserError(f"{option}: this training starts from random weights; leave it out")


def check_unchanged(said: dict[str, Any], stored: Settings, advice: str) -> None:
    """Raise `UserError` if the user said anything that a former run has otherwise.

    Parameters
    ----------
    said
        Fields of `Settings` that the user gave a value.
    stored
        The settings of the former run.
    advice
        The end of the message.
    """
    changed = [
        f"{_WORDS.get(name, name.replace('_', ' '))}: {_spell(name, value)} now, "
        f"{_spell(name, getattr(stored, name))} in the former run"
        for name, value in said.items()
        if value != getattr(stored, name)
    ]
    if changed:
        raise UserError(f"the settings differ ({'; '.join(changed)}); {advice}")


def read_settings(path: Path) -> Settings:
    """Read what `Settings.as_json` gave; raise `UserError` if the file is not that."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["model"] not in TRAINERS:
            raise ValueError(f"there is no model {values['model']!r}")
        return settings_from_json(values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"cannot read the settings of the former run in {path}: {reason}") from error


def _spell(name: str, value: object) -> str:
    if value is None:
        return _UNSAID.get(name, "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def settings_from_json(values: dict[str, Any]) -> Settings:
    """The settings in what `Settings.as_json` gave; raise `KeyError` or `TypeError` if it is not that."""
    patch_size = values["patch_size"]
    return Settings(**{**values, "patch_size": None if patch_size is None else tuple(patch_size)})
