"""The figure of a comparison: one row for each case, one column for each system (Fig. 2 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..common.files import replace_atomically
from ..datasets import RawDataset
from ..evaluation.scores import PAPER_METRICS, worst_median_best
from ..figures import class_colour, draw_example, figure_style, find_reader, numbers_classes, read_example
from .results import Result, common_scores


def draw_comparison(path: Path, dataset: RawDataset, titles: Sequence[str], results: Sequence[Result]) -> None:
    """Draw the worst, the median and the best case, by the mean over the systems of the first metric.

    Each row has the image (its first channel), the reference, and the prediction of every system with its score.
    Of a volume, the slice with the most labelled pixels in the reference is shown.

    Parameters
    ----------
    path
        PNG file to write.
    dataset
        Has the images and references.
    titles
        Of the systems, for the columns.
    results
        Of the systems, which have scored the same cases.
    """
    rule = common_scores(results)
    key = next(iter(results[0].scores[rule]))
    means = mean_over_systems([result.scores[rule][key].cases for result in results])
    identifiers = list(means)
    places = worst_median_best([means[identifier] for identifier in identifiers])
    cases = {case.identifier: case for case in dataset.held_out or dataset.training}
    channels = list(dataset.description["channel_names"].values())
    reader = find_reader(dataset.description, cases[identifiers[0]].images[0])
    n_columns = len(results) + 2
    with figure_style():
        figure = Figure(figsize=(2.2 * n_columns, 2.5 * len(places) + 0.8), layout="constrained")
        grid = figure.subplots(len(places), n_columns, squeeze=False)
        for cells, (index, place) in zip(grid, places.items(), strict=True):
            case = cases[identifiers[index]]
            for number, (cell, result) in enumerate(zip(cells[2:], results, strict=True)):
                prediction = result.prediction(case.identifier, dataset.file_ending)
                example = read_example(case.images, case.label, prediction, channels, reader)
                pictures, labels = draw_example(example, dataset.classes)
                if number == 0:
                    where = "" if example.slice_index is None else f", slice {example.slice_index}"
                    cells[0].imshow(next(iter(pictures.values())))
                    cells[0].set_ylabel(f"{place}: {case.identifier}{where}")
                    cells[1].imshow(labels["reference"])
                cell.imshow(labels["prediction"])
                score = result.scores[rule][key].cases[case.identifier]
                cell.set_xlabel(f"{PAPER_METRICS[key]} {'–' if score is None else f'{score:.3f}'}")
        for cell in grid.flat:
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set_visible(False)
        for cell, name in zip(grid[0], ("image", "reference", *titles), strict=True):
            cell.set_title(name.replace(", ", "\n"))
        numbered = numbers_classes(len(dataset.classes))
        handles = [
            Patch(color=class_colour(index), label=f"{index + 1} {name}" if numbered else name)
            for index, name in enumerate(dataset.classes)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
        with replace_atomically(path) as file:
            figure.savefig(file, dpi=120, format="png")


def mean_over_systems(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Mean score of each case; where a case has no score, as if it were 0."""
    return {case: float(np.mean([system.get(case) or 0.0 for system in scores])) for case in scores[0]}
