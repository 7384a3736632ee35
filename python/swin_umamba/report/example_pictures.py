"""The worst cases, the median and the best case as pictures that the page carries inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from ..common.errors import UserError
from ..datasets import Case, RawDataset, open_raw_dataset
from ..evaluation.scores import cases_to_show
from ..figures import MISTAKES, draw_difference, draw_example, find_mistakes, find_reader, read_example
from ..runs.record import FinishedRun
from .score_tables import ScoreTable


@dataclass(frozen=True)
class Picture:
    """A PNG as a data URL, with its caption and what a screen reader says instead."""

    url: Markup
    caption: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class ShownCase:
    """One case: ``place`` is one of `cases_to_show`, ``scores`` its mean by name of the metric."""

    identifier: str
    place: str
    slice_index: int | None
    scores: dict[str, float]
    pictures: list[Picture]


@dataclass(frozen=True)
class Gallery:
    """The cases that are shown, or why there are none."""

    cases: list[ShownCase]
    problem: str | None = None


def make_gallery(run: FinishedRun, tables: Sequence[ScoreTable]) -> Gallery:
    """Read and draw the worst cases, the median and the best one by the first metric.

    A run may have been moved away from its data, which is no error: the page then says what is missing.
    """
    if not tables:
        return Gallery([])
    ranking = tables[0].cases
    # Errors are best where they are least.
    places = cases_to_show([-case.mean if tables[0].is_error else case.mean for case in ranking])
    try:
        dataset = open_raw_dataset(run.dataset_folder)
        cases = _held_out_cases(tables[0], dataset)
        shown = []
        for index, place in places.items():
            identifier = ranking[index].identifier
            scores = {
                table.name: next(case.mean for case in table.cases if case.identifier == identifier) for table in tables
            }
            shown.append(_show(dataset, cases[identifier], run.folder.predictions, place, scores))
    # Text in the record need not be a path that there can be.
    except (UserError, OSError, ValueError, RuntimeError) as error:
        return Gallery([], str(error))
    return Gallery(shown)


def _held_out_cases(table: ScoreTable, dataset: RawDataset) -> dict[str, Case]:
    cases = {case.identifier: case for case in dataset.held_out or dataset.training}
    if missing := sorted({case.identifier for case in table.cases} - set(cases)):
        raise UserError(f"{dataset.folder} no longer has the case {missing[0]!r} that this run scored")
    return cases


def _show(dataset: RawDataset, case: Case, predictions: Path, place: str, scores: dict[str, float]) -> ShownCase:
    prediction = predictions / f"{case.identifier}{dataset.file_ending}"
    if not prediction.is_file():
        raise UserError(f"there is no predicted label image {prediction}")
    try:
        reader = find_reader(dataset.description, case.images[0])
        names = list(dataset.description["channel_names"].values())
        example = read_example(case.images, case.label, prediction, names, reader)
    # Readers raise whatever their libraries raise, which is no closed list.
    except Exception as error:
        raise UserError(f"cannot read the case {case.identifier!r}: {error}") from error
    channels, labels = draw_example(example, dataset.classes)
    what = case.identifier if example.slice_index is None else f"{case.identifier}, slice {example.slice_index}"
    pictures = [_picture(picture, name, f"{name} of {what}") for name, picture in channels.items()]
    for name, picture in labels.items():
        alt = f"{name} of {what}: {_areas(getattr(example, name), dataset.classes, 'no labelled pixel')}"
        pictures.append(_picture(picture, name, alt))
    mistakes = find_mistakes(example.reference, example.prediction, dataset.classes, dataset.ignore_label)
    kinds: dict[str, tuple[int, ...]] = {name: (index,) for index, name in enumerate(MISTAKES, start=1)}
    alt = f"difference of {what}: {_areas(mistakes, kinds, 'no mistake')}"
    pictures.append(_picture(draw_difference(example, dataset.classes, dataset.ignore_label), "difference", alt))
    return ShownCase(case.identifier, place, example.slice_index, scores, pictures)


def _picture(picture: np.ndarray, caption: str, alt: str) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png", optimize=True)
    url = Markup("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    return Picture(url, caption, alt, width=picture.shape[1], height=picture.shape[0])


def _areas(labels: np.ndarray, classes: dict[str, tuple[int, ...]], nothing: str) -> str:
    shares = {name: float(np.isin(labels, values).mean()) for name, values in classes.items()}
    parts = [f"{name} {share:.1%}" for name, share in shares.items() if share]
    return ", ".join(parts) + " of the picture" if parts else nothing
