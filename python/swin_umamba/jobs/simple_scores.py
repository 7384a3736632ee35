"""Predict and score the sample of cells by methods without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.io import imread

from ..common.console import PlainConsole
from ..common.files import replace_atomically, write_json
from ..common.typed_json import from_json, load_json
from ..common.versions import package_versions
from ..comparison.folder import ComparisonFolder
from ..comparison.results import SimpleResult, scores_by_rule
from ..comparison.simple_methods import SIMPLE_METHODS
from ..datasets import RawDataset
from ..evaluation.held_out import score_cases, summarise
from ..figures import find_reader
from ..paper.protocol import RULES
from ..runs.folder import RunFolder
from ..runs.record import HeldOutScores
from .paper_evaluation import evaluate_as_in_paper

MARK = "method.json"
"""Name of the file beside the predictions that says how they were made."""
PACKAGES = ("swin-umamba", "numpy", "scipy", "scikit-learn")


def score_simple_methods(
    dataset: RawDataset, folder: ComparisonFolder, tolerance: float, console: PlainConsole
) -> list[SimpleResult]:
    """The results of `SIMPLE_METHODS`, whose predictions lie beside the runs; those that this version made are kept.

    Parameters
    ----------
    dataset
        The sample of cells.
    folder
        Of the comparison.
    tolerance
        Of the NSD.
    console
        What the user sees.
    """
    cases = list(dataset.held_out)
    results = []
    for method in SIMPLE_METHODS:
        place = RunFolder(folder.root / method.name)
        paths = [place.predictions / f"{case.identifier}{dataset.file_ending}" for case in cases]
        console.announce("without a network", method.title)
        mark = {"how": method.how, "versions": package_versions(*PACKAGES)}
        if not all(path.exists() for path in paths) or _mark_of(place) != mark:
            place.predictions.mkdir(parents=True, exist_ok=True)
            (place.root / MARK).unlink(missing_ok=True)
            images = _read([case.images[0] for case in dataset.training])
            labels = _read([case.label for case in dataset.training])
            predicted = method.predict(images, labels, _read([case.images[0] for case in cases]))
            for path, labels_of_case in zip(paths, predicted, strict=True):
                with replace_atomically(path) as file:
                    Image.fromarray(labels_of_case).save(file, "png")
            write_json(place.root / MARK, mark)
        reader = find_reader(dataset.description, cases[0].images[0])
        held_out = summarise(score_cases(dataset, cases, place.predictions, reader, tolerance))
        entries = evaluate_as_in_paper(dataset, place, console)
        evaluations = {rule: entries[rule] for rule in RULES if entries[rule] is not None}
        scores = scores_by_rule(place, evaluations, from_json(HeldOutScores, held_out))
        results.append(SimpleResult(method.name, method.title, method.how, scores))
    return results


def _mark_of(place: RunFolder) -> object:
    try:
        return load_json(place.root / MARK)
    except (OSError, ValueError):
        return None


def _read(paths: list[Path]) -> np.ndarray:
    return np.stack([imread(path) for path in paths])
