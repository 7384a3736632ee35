"""The settings of one pretraining run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..runs.settings import check_unchanged

REFERENCE_BATCH_SIZE = 1024

AUGMENTATIONS = ("strong", "light", "none")
"""What `swin_umamba.pretraining.augmentation.training_transform` can do; kept here, where nothing imports torch."""


@dataclasses.dataclass(frozen=True)
class PretrainingSettings:
    """What decides the result of a run; stored with it, so that it can be resumed.

    The defaults are the recipe of VMamba (arXiv:2401.10166) and Swin Transformer (arXiv:2103.14030) for ImageNet.

    Attributes
    ----------
    data : str
        The folder of images; see `swin_umamba.pretraining.image_folder.open_image_folder`.
    image_size : int
        Height and width of the network's input, in pixels.
    epochs : int
    warmup_epochs : float
        The learning rate rises linearly during them; a fifteenth of the epochs where not given.
    batch_size : int
        Images of one step, over all processes together.
    learning_rate : float
        The highest one; 0.001 at 1024 images of a step and proportional to them where not given.
    weight_decay : float
        Of the weights that are multiplied with the image; biases, norms, ``A_logs`` and ``Ds`` have none.
    label_smoothing : float
    drop_path : float
        Stochastic depth of the last block.
    ema_decay : float
        Of the moving average of the weights.
    augmentation : str
        See `swin_umamba.pretraining.augmentation.training_transform`.
    mixing : bool
        Mixup and CutMix.
    validation_fraction : float
        Part of the images that validates where the folder has no ``val``.
    embed_dim : int
    depths : tuple of int
        Size of the network; see `swin_umamba.VMambaTiny`.
    seed : int
        Of the weights, the split, the order and the augmentation.
    """

    data: str
    image_size: int = 224
    epochs: int = 300
    warmup_epochs: float | None = None
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    drop_path: float = 0.1
    ema_decay: float = 0.9999
    augmentation: str = "strong"
    mixing: bool = True
    validation_fraction: float = 0.1
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 9, 2)
    seed: int = 0

    def completed(self) -> PretrainingSettings:
        """The same with the values that follow from others filled in."""
        warmup = self.epochs / 15 if self.warmup_epochs is None else self.warmup_epochs
        rate = 1e-3 * self.batch_size / REFERENCE_BATCH_SIZE if self.learning_rate is None else self.learning_rate
        return dataclasses.replace(self, warmup_epochs=warmup, learning_rate=rate)


def choose_settings(given: dict[str, Any], stored: PretrainingSettings | None) -> PretrainingSettings:
    """Complete what the user gave by the stored settings of the run to resume, or by the defaults.

    Parameters
    ----------
    given
        Fields of `PretrainingSettings`, ``None`` where the user said nothing.
    stored
        The settings of the run to resume, or ``None`` for a new run.

    Raises
    ------
    UserError
        A given value differs from the stored one, or the warm-up is longer than the training.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if stored is not None:
        if said["data"] != stored.data:
            raise UserError(f"the run to resume was trained on {stored.data}, not on {said['data']}")
        check_unchanged(said, stored, "leave it out, or start a new run with another --output")
        return stored
    settings = PretrainingSettings(**said).completed()
    if settings.warmup_epochs > settings.epochs:
        raise UserError(
            f"--warmup-epochs {settings.warmup_epochs:g} is longer than the training of {settings.epochs} epochs"
        )
    return settings


def read_settings(path: Path) -> PretrainingSettings:
    """Read what `write_json` of the settings' fields gave; raise `UserError` if the file is not that."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return PretrainingSettings(**{**values, "depths": tuple(values["depths"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot read the settings of the former run in {path}: {error}") from error
