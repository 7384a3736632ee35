"""The systems of a comparison: which rows the table has, and with what settings each is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.errors import UserError
from ..paper.systems import SYSTEMS
from ..runs.settings import PRETRAINABLE, Settings, choose_settings, default_settings


@dataclass(frozen=True)
class ComparedSystem:
    """One row of the table.

    Attributes
    ----------
    name : str
        Of its run folder: the model, with ``-scratch`` for a Swin-UMamba from random weights.
    title : str
        In the table.
    settings : Settings
        Of its run.
    """

    name: str
    title: str
    settings: Settings


def choose_systems(
    said: Mapping[str, Any],
    dataset: str | None,
    models: Sequence[str],
    pretrained: str | None = None,
    scratch: bool = False,
    learning_rates: Mapping[str, float] | None = None,
) -> list[ComparedSystem]:
    """The rows of a comparison, in the order of ``models``.

    Parameters
    ----------
    said
        Fields in `swin_umamba.comparison.shared_settings.SHARED` that the user gave a value.
    dataset
        Folder of the raw data set; ``None`` for the sample.
    models
        Keys of `swin_umamba.paper.systems.SYSTEMS`.
    pretrained
        File of ImageNet weights for the Swin-UMambas among the models; ``None`` starts them from random weights.
    scratch
        Add both Swin-UMambas from random weights, unless they are there already.
    learning_rates
        Of the first epoch, by model, in the place of the protocol's. Without one each system has its own, on the
        sample too: rates chosen for some systems alone would make no comparison.

    Raises
    ------
    UserError
        A model is unknown or named twice, or a learning rate is of none of them.
    """
    check_models(models)
    rows = [(model, pretrained if model in PRETRAINABLE else None) for model in models]
    if scratch:
        rows += [(model, None) for model in PRETRAINABLE if (model, None) not in rows]
    if presets := _one_network(models, said, dataset):
        raise UserError(
            f"--models: {' and '.join(presets)} are one network, and plan a patch and a batch size of their own; here "
            f"both are given, so name one of them"
        )
    rates = dict(learning_rates or {})
    if strangers := [model for model in rates if model not in {model for model, _ in rows}]:
        raise UserError(f"--learning-rate {strangers[0]}={rates[strangers[0]]:g}: {strangers[0]} is not compared")
    # The paper has special epochs for one system; here all have the same.
    epochs = said.get("epochs", default_settings(dataset, "nnunet", None).epochs)
    systems = []
    for model, file in rows:
        own = {"epochs": epochs, "learning_rate": rates.get(model)}
        settings = choose_settings({**said, **own}, default_settings(dataset, model, file))
        systems.append(name_system(settings))
    return systems


def name_system(settings: Settings) -> ComparedSystem:
    """The row of a system with these settings."""
    is_scratch = settings.model in PRETRAINABLE and settings.pretrained is None
    title = SYSTEMS[settings.model].title + (", scratch" if is_scratch else "")
    return ComparedSystem(settings.model + ("-scratch" if is_scratch else ""), title, settings)


def all_models(said: Mapping[str, Any], dataset: str | None) -> tuple[str, ...]:
    """Every system, each network once; the arguments are those of `choose_systems`."""
    repeated = _one_network(tuple(SYSTEMS), said, dataset)[1:]
    return tuple(model for model in SYSTEMS if model not in repeated)


def _one_network(models: Sequence[str], said: Mapping[str, Any], dataset: str | None) -> list[str]:
    """The models that differ only in the patch and batch size that they plan, where both are given."""
    presets = [model for model in models if SYSTEMS[model].planner]
    settings = choose_settings(said, default_settings(dataset, "nnunet", None))
    return presets if len(presets) > 1 and settings.patch_size and settings.batch_size else []


def check_models(models: Sequence[str]) -> None:
    """Raise `UserError` for a model that there is not, or that is named twice."""
    if not models:
        raise UserError(f"--models names no model; there are {', '.join(SYSTEMS)}")
    for model in models:
        if model not in SYSTEMS:
            raise UserError(f"--models: there is no model {model!r}; there are {', '.join(SYSTEMS)}")
        if models.count(model) > 1:
            raise UserError(f"--models names {model} twice")
