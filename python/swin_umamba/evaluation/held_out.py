"""Scores of a run's held-out cases: DSC and NSD for each case and class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets import Case, RawDataset
from . import dice_coefficient, normalized_surface_distance

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter


@dataclass(frozen=True)
class CaseScores:
    """Scores of one case by class name, and the files they come from.

    ``absent`` names the classes that neither mask has; they score 1.
    """

    case: Case
    prediction: Path
    dsc: dict[str, float]
    nsd: dict[str, float]
    absent: tuple[str, ...] = ()

    @property
    def mean_dsc(self) -> float:
        return float(np.mean(list(self.dsc.values())))


def score_cases(
    dataset: RawDataset,
    cases: Sequence[Case],
    predictions: Path,
    reader: BaseReaderWriter,
    tolerance: float,
    on_case_done: Callable[[], object] = lambda: None,
) -> list[CaseScores]:
    """Compare predicted label images with their references.

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
    list of CaseScores
        In the order of ``cases``. A class that is absent from both masks scores 1.
    """
    scores = []
    for case in cases:
        path = predictions / f"{case.identifier}{dataset.file_ending}"
        reference, properties = reader.read_seg(str(case.label))
        prediction, _ = reader.read_seg(str(path))
        reference, prediction, spacing = _squeeze(reference[0], prediction[0], properties["spacing"])
        counted = reference != dataset.ignore_label if dataset.ignore_label is not None else True
        dsc, nsd, absent = {}, {}, []
        for name, values in dataset.classes.items():
            masks = np.isin(reference, values) & counted, np.isin(prediction, values) & counted
            dsc[name] = dice_coefficient(*masks)
            nsd[name] = normalized_surface_distance(*masks, spacing=spacing, tolerance=tolerance)
            if not any(mask.any() for mask in masks):
                absent.append(name)
        scores.append(CaseScores(case, path, dsc, nsd, tuple(absent)))
        on_case_done()
    return scores


def describe(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (divided by n), median, minimum and maximum."""
    array = np.array(values)
    statistics = {"mean": array.mean(), "std": array.std(), "median": np.median(array)}
    return {name: float(value) for name, value in {**statistics, "min": array.min(), "max": array.max()}.items()}


def summarise(scores: Sequence[CaseScores]) -> dict[str, Any]:
    """Statistics over cases of each metric, whole and per class (see `describe`), and the values of each case.

    The mean of a case is over its classes; the statistics of a metric as a whole are of these over the cases.
    """
    summary: dict[str, Any] = {"cases": len(scores)}
    for metric in ("dsc", "nsd"):
        table = np.array([list(getattr(case, metric).values()) for case in scores])
        names = getattr(scores[0], metric)
        summary[metric] = {
            **describe(table.mean(axis=1)),
            "per_class": {name: describe(column) for name, column in zip(names, table.T, strict=True)},
        }
    summary["per_case"] = {
        case.case.identifier: {"dsc": case.dsc, "nsd": case.nsd, "absent": list(case.absent)} for case in scores
    }
    return summary


def worst_median_best(means: Sequence[float]) -> dict[int, str]:
    """Which cases to look at: the index of the worst, the median and the best one, and which of these it is.

    Of two cases there is no median, and a single one is ``"only"``.
    """
    ranked = sorted(range(len(means)), key=means.__getitem__)
    if len(ranked) == 1:
        return {0: "only"}
    middle = {ranked[len(ranked) // 2]: "median"} if len(ranked) > 2 else {}
    return {ranked[0]: "worst", **middle, ranked[-1]: "best"}


def _squeeze(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """A stack of one slice is a 2-D image, and is scored on its contour."""
    spacing = [float(size) for size in spacing]
    if reference.shape[0] == 1:
        return reference[0], prediction[0], spacing[1:]
    return reference, prediction, spacing
