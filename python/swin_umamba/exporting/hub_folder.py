"""Writing a trained network as a folder of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..common.errors import RunError, UserError
from ..runs.record import RunRecord
from ..trainers.registry import TRAINER_CLASSES
from .description import Training
from .graph import Sizes
from .hub_model import HubModel
from .model_card import model_card


def write_hub_folder(
    network: nn.Module, training: Training, patch: tuple[int, int], record: RunRecord | None, folder: Path
) -> tuple[Sizes, float]:
    """Write ``config.json``, ``model.safetensors`` and ``README.md``, and hold what is read again to the network.

    Returns
    -------
    sizes : Sizes
        The network takes any.
    difference : float
        Zero: of the weights that are read again each is the same.

    Raises
    ------
    UserError
        The network is none of this package.
    RunError
        What is read again is not the same.
    """
    if training.trainer not in TRAINER_CLASSES:
        raise UserError(f"--format hub takes networks of this package, and {training.trainer} trains another")
    system, labels = TRAINER_CLASSES[training.trainer].model, training.outputs
    model = HubModel(system, training.channels, len(labels), list(patch), labels)
    model.network.load_state_dict(network.state_dict())
    dataset = training.plans.dataset_name
    card = model_card(system, tuple(labels), training.channels, patch, dataset, record)
    (folder / "README.md").write_text(card, encoding="utf-8")
    model.save_pretrained(folder)
    again = HubModel.from_pretrained(str(folder))
    image = torch.randn(1, training.channels, *patch, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if not torch.equal(again(image), network(image)):
            raise RunError("the model that was read again gives other logits; it was not kept")
    return Sizes(patch, (1, 1)), 0.0
