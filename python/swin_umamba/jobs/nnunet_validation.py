"""What nnU-Net's own commands look for in a trained fold: ``validation`` with its ``summary.json``, and the references.

`nnUNetv2_export_model_to_zip`, `nnUNetv2_accumulate_crossval_results` and `nnUNetv2_find_best_configuration` read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json
from nnunetv2.utilities.json_export import recursive_fix_for_json_export

from ..common.files import link_atomically
from ..datasets import Case, RawDataset
from ..runs.folder import RunFolder
from ..trainers.paper_trainer import PaperTrainer


def write_validation(dataset: RawDataset, folder: RunFolder, trainer: PaperTrainer, cases: Sequence[Case]) -> None:
    """Give the predictions of a fold's validation cases the places and the scores that nnU-Net gives them.

    Parameters
    ----------
    dataset
        Has the references, which ``gt_segmentations`` in the preprocessed data gets as well.
    folder
        Has the predictions.
    trainer
        Of the fold.
    cases
        The validation cases, which have been predicted.
    """
    references = folder.preprocessed / dataset.name / "gt_segmentations"
    validation = Path(trainer.output_folder) / "validation"
    for place in (references, validation):
        place.mkdir(parents=True, exist_ok=True)
    for case in dataset.training:
        target = references / f"{case.identifier}{dataset.file_ending}"
        if not target.exists():
            link_atomically(case.label, target)
    manager = trainer.label_manager
    labels = manager.foreground_regions if manager.has_regions else manager.foreground_labels
    reader = trainer.plans_manager.image_reader_writer_class()
    results = []
    for case in cases:
        prediction = validation / f"{case.identifier}{dataset.file_ending}"
        link_atomically(folder.predictions / prediction.name, prediction)
        results.append(
            compute_metrics(str(references / prediction.name), str(prediction), reader, labels, manager.ignore_label)
        )
    # As nnU-Net's compute_metrics_on_folder, which would start a pool of processes for it.
    metrics = results[0]["metrics"][labels[0]]
    means = {label: {name: _mean([r["metrics"][label][name] for r in results]) for name in metrics} for label in labels}
    foreground = {name: float(np.mean([means[label][name] for label in labels])) for name in metrics}
    summary = {"metric_per_case": results, "mean": means, "foreground_mean": foreground}
    for part in (*results, means, foreground):
        recursive_fix_for_json_export(part)
    save_summary_json(summary, str(validation / "summary.json"))


def _mean(values: Sequence[float]) -> float:
    """Without NaN, which nnU-Net gives a label that neither mask has."""
    counting = [value for value in values if not np.isnan(value)]
    return float(np.mean(counting)) if counting else float("nan")
