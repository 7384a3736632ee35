"""Scores of a run's held-out cases, read as nnU-Net reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from ..common.images.formats import NIFTI_ENDINGS, image_ending
from ..common.images.label_files import CasePair, LabelImage, list_label_files, pair_cases
from .measure_names import FURTHER, MEASURES, PRIMARY
from .rules import HELD_OUT, with_measures
from .scores import CaseScores, describe

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

    from ..datasets import Case, RawDataset


def score_cases(
    dataset: RawDataset,
    cases: Sequence[Case],
    predictions: Path,
    reader: BaseReaderWriter,
    tolerance: float,
    on_case_done: Callable[[], object] = lambda: None,
) -> dict[str, CaseScores]:
    """Compare predicted label images with their references by the rule `HELD_OUT`.

    Parameters
    ----------
    dataset
        Names the classes; pixels with its ignore label count for nothing.
    cases
        The cases to score.
    predictions
        Folder of the predicted label images, named like the references.
    reader
        nnU-Net's reader for these files.
    tolerance
        Of the normalized surface distance, in the unit of the spacing.
    on_case_done
        Called after each case.

    Returns
    -------
    dict
        From case identifier to scores, in the order of ``cases``.
    """
    classes = dataset.classes
    tolerances = dict.fromkeys(classes, tolerance)
    rule = replace(with_measures(HELD_OUT, tuple(MEASURES)), labels=classes, tolerances=tolerances)
    rule = replace(rule, ignore_label=dataset.ignore_label)
    scores = {}
    for case in cases:
        paths = case.label, predictions / f"{case.identifier}{dataset.file_ending}"
        scores[case.identifier] = rule.score(*(_read(reader, path) for path in paths))
        on_case_done()
    return scores


def _read(reader: BaseReaderWriter, path: Path) -> LabelImage:
    labels, properties = reader.read_seg(str(path))
    return LabelImage(labels[0], tuple(float(size) for size in properties["spacing"]))


def pair_held_out_cases(reference: Path, prediction: Path) -> tuple[list[CasePair], list[str]]:
    """`pair_cases` in the order of a run, which is that of the images' names, and without cases that were trained on.

    Those are the cases of ``labelsTr`` that were not predicted.
    """
    references, predictions = list_label_files(reference), list_label_files(prediction)
    if reference.name == "labelsTr" and references.keys() & predictions.keys():
        pairs = [CasePair(name, path, predictions[name]) for name, path in references.items() if name in predictions]
        without_reference = [name for name in predictions if name not in references]
    else:
        pairs, without_reference = pair_cases(reference, prediction)
    return sorted(pairs, key=lambda pair: f"{pair.name}_0000."), without_reference


def as_nnunet_reads(image: LabelImage, path: Path, reoriented: bool) -> LabelImage:
    """Return a label image with the axes that nnU-Net's readers give it: a volume's slices first, its columns last.

    Parameters
    ----------
    image
        What `read_label_image` gives for ``path``.
    path
        The file, whose format says in which order the axes are.
    reoriented
        Whether nnU-Net turns the volumes of this data set to RAS.
    """
    labels, spacing = image.labels, image.spacing
    if labels.ndim == 2 and image_ending(path) not in NIFTI_ENDINGS:
        labels, spacing = labels.T, spacing[::-1]
    if reoriented and labels.ndim == 3 and image.affines:
        orientation = io_orientation(image.affines[0])
        labels = apply_orientation(labels, orientation)
        spacing = tuple(spacing[int(axis)] for axis in np.argsort(orientation[:, 0]))
    return LabelImage(labels.T, tuple(float(size) for size in spacing[::-1]))


def summarise(scores: Mapping[str, CaseScores]) -> dict[str, Any]:
    """Statistics over cases of each metric, whole and per class (see `describe`), and the values of each case.

    The mean of a case is over its classes; the statistics of a metric as a whole are of these over the cases. This is
    ``held_out`` of ``metrics.json``.
    """
    cases = list(scores.values())
    names = cases[0].per_class["dsc"]
    described = {
        key: {
            **describe([case.case_means[key] for case in cases]),
            "per_class": {name: describe([case.per_class[key][name] for case in cases]) for name in names},
        }
        for key in cases[0].per_class
    }
    summary = {"cases": len(cases), **_parted(described)}
    summary["per_case"] = {
        name: {
            **_parted(case.per_class),
            "absent": list(case.absent),
            "missed": list(case.missed),
            "invented": list(case.invented),
        }
        for name, case in scores.items()
    }
    return summary


def _parted(by_measure: Mapping[str, Any]) -> dict[str, Any]:
    """DSC and NSD at the place that they have always had, the others together."""
    return {
        **{key: by_measure[key] for key in PRIMARY},
        "further": {key: by_measure[key] for key in FURTHER if key in by_measure},
    }
