"""What all systems of a comparison have in common; importing this loads nothing that a help should wait for."""

from __future__ import annotations

from ..runs.settings import Settings

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any

SHARED = (
    "dataset",
    "sample",
    "input_channels",
    "freeze_epochs",
    "epochs",
    "iterations",
    "batch_size",
    "patch_size",
    "fold",
    "group_by",
    "amp",
    "seed",
    "nsd_tolerance",
)
"""The fields of `Settings` that all systems of a comparison have in common: data, budget, seed and metric."""


def shared_settings(settings: Settings) -> dict[str, Any]:
    """What a comparison stores of the settings of its systems."""
    values = settings.as_json()
    return {name: values[name] for name in SHARED}
