"""The settings of one training run, and the defaults of the sample and of other data sets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ..errors import UserError

# Names on the command line and the classes of `swin_umamba.training.trainers`; kept apart from the
# classes because importing those takes seconds, which `--help` should not.
TRAINERS = {"swin-umamba": "nnUNetTrainerSwinUMamba", "swin-umamba-d": "nnUNetTrainerSwinUMambaD"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides the result of a run; stored with it, so that it can be resumed.

    Attributes
    ----------
    dataset : str or None
        Folder of the raw data set; ``None`` for the sample.
    model : str
        A key of `TRAINERS`.
    epochs, iterations : int
        Epochs, and training iterations per epoch; a fifth as many validation iterations, as in nnU-Net.
    batch_size : int or None
        ``None`` leaves it to nnU-Net's planner.
    patch_size : tuple of int or None
        Height and width; ``None`` leaves it to nnU-Net's planner. A multiple of 32 wastes nothing on padding.
    learning_rate : float
        Of the first epoch; a cosine takes it down to 1e-6.
    fold : int or str
        Fold of nnU-Net's cross-validation, or ``"all"``.
    seed : int
        Of the weights, the sampling and the augmentation.
    nsd_tolerance : float
        Tolerance of the normalized surface distance, in the unit of the image spacing.
    """

    dataset: str | None
    model: str = "swin-umamba-d"
    epochs: int = 100
    iterations: int = 250
    batch_size: int | None = None
    patch_size: tuple[int, int] | None = None
    learning_rate: float = 1e-4
    fold: int | str = 0
    seed: int = 0
    nsd_tolerance: float = 1.0

    def as_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return {**values, "patch_size": None if self.patch_size is None else list(self.patch_size)}


# Chosen for two processor cores and some minutes, from random initialisation; the paper's protocol is
# the defaults of `Settings`.
SAMPLE_SETTINGS = Settings(
    dataset=None, epochs=10, iterations=20, batch_size=4, patch_size=(128, 128), learning_rate=1e-3
)


def choose_settings(given: dict[str, Any], stored: Settings | None) -> Settings:
    """Complete what the user gave by the stored settings of a former run, or by the defaults.

    Parameters
    ----------
    given
        Fields of `Settings`, ``None`` where the user said nothing.
    stored
        The settings of the run to resume, or ``None`` for a new run.

    Raises
    ------
    UserError
        A given value differs from the stored one.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if stored is not None:
        for name, value in said.items():
            former = getattr(stored, name)
            if value != former:
                raise UserError(
                    f"--{name.replace('_', '-')} {_spell(value)} differs from the run to resume, which has "
                    f"{_spell(former)}; leave it out, or start a new run with another --output"
                )
        return stored
    defaults = SAMPLE_SETTINGS if said.get("dataset") is None else Settings(dataset=said["dataset"])
    return dataclasses.replace(defaults, **said)


def read_settings(path: Path) -> Settings:
    """Read what `Settings.as_json` gave; raise `UserError` if the file is not that."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        patch_size = values["patch_size"]
        return Settings(**{**values, "patch_size": None if patch_size is None else tuple(patch_size)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot read the settings of the former run in {path}: {error}") from error


def _spell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
