"""Prediction of a run's held-out cases with nnU-Net's sliding window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from ..data import Case
from ..files import replace_atomically
from .trainers import register_trainers


def load_predictor(model_folder: Path, fold: int | str, device: torch.device) -> nnUNetPredictor:
    """nnU-Net's predictor with the final checkpoint of one fold, without mirroring, as in the paper.

    Parameters
    ----------
    model_folder
        nnU-Net's folder of a trained model, ``Trainer__Plans__configuration``.
    fold
        Which of its folds.
    device
        Where to predict.
    """
    register_trainers()
    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=device.type == "cuda", device=device, allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(model_folder), (fold,), "checkpoint_final.pth")
    return predictor


def predict_cases(
    predictor: nnUNetPredictor, cases: Sequence[Case], output: Path, on_case_done: Callable[[], object]
) -> None:
    """Predict each case and write its label image to ``output / (identifier + file ending)``.

    One case is in memory at a time. 3-D images are predicted slice by slice.
    """
    output.mkdir(parents=True, exist_ok=True)
    reader = predictor.plans_manager.image_reader_writer_class()
    for case in cases:
        image, properties = reader.read_images([str(path) for path in case.images])
        predictor.predict_single_npy_array(image, properties, None, str(output / case.identifier))
        on_case_done()


def export_checkpoint(source: Path, target: Path) -> None:
    """Write the weights of a checkpoint and what prediction needs, without the state of the optimizer.

    The file has nnU-Net's keys ``network_weights``, ``init_args`` (plans, configuration, dataset.json),
    ``trainer_name`` and ``inference_allowed_mirroring_axes``.
    """
    checkpoint = torch.load(source, map_location="cpu", weights_only=False)
    kept = ("network_weights", "init_args", "trainer_name", "inference_allowed_mirroring_axes", "current_epoch")
    with replace_atomically(target) as file:
        torch.save({key: checkpoint[key] for key in kept}, file)
