"""The charts of the page, as SVG elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..figures import (
    figure_style,
    inline_svg,
    plot_dice,
    plot_learning_rate,
    plot_losses,
    plot_score_distributions,
    plot_scores_over_size,
    validation_name,
)
from ..runs.record import DataRecord, TrainingRecord
from .score_tables import ScoreTable

# In inches of 72 units; at this width the text is as large as that of the page, on a phone too.
WIDTH, HEIGHT = 4.6, 3.0
ROW_HEIGHT, MARGIN_HEIGHT = 0.42, 0.75


@dataclass(frozen=True)
class Chart:
    """An SVG element and what stands above it."""

    title: str
    svg: Markup


def draw_curves(training: TrainingRecord, fold: int | str) -> list[Chart]:
    """Loss, Dice and learning rate over the epochs.

    Parameters
    ----------
    training
        The course of the training.
    fold
        The fold that was trained, which decides what the validation curves were measured on.
    """
    train, validation = training.train_loss, training.validation_loss
    dice, rates = training.validation_dice, training.learning_rate
    name = validation_name(fold)
    return [
        _chart(
            "loss",
            "Loss",
            f"Training: {_course(train)}. Validation: {_course(validation)}.",
            lambda axes: plot_losses(axes, train, validation, name),
        ),
        _chart(
            "dice",
            "Validation Dice",
            f"Mean Dice over classes on validation patches: {_course(dice)}.",
            lambda axes: plot_dice(axes, dice, name),
        ),
        _chart(
            "learning-rate",
            "Learning rate",
            f"Learning rate of each epoch: {_course(rates, 'g')}.",
            lambda axes: plot_learning_rate(axes, rates),
        ),
    ]


def draw_distributions(tables: Sequence[ScoreTable]) -> list[Chart]:
    """The scores of all cases by class, one chart for each metric."""
    return [
        _chart(
            f"distribution-{table.key}",
            f"{table.name} of each case",
            "; ".join(
                f"{name}: median {values.median:.3f}, from {values.min:.3f} to {values.max:.3f}"
                for name, values in table.per_class.items()
            ),
            partial(plot_score_distributions, scores=table.by_class, label=table.name, top=table.top),
            height=MARGIN_HEIGHT + ROW_HEIGHT * len(table.per_class),
        )
        for table in tables
    ]


def draw_scores_over_size(tables: Sequence[ScoreTable], data: DataRecord | None) -> list[Chart]:
    """The first score of all cases over the pixels that the structure has in the reference.

    A case without the structure has no place there. Empty where the run does not say how large the structures are.
    """
    if data is None or not tables:
        return []
    points = {}
    for label in tables[0].per_class:
        sizes = {case: pixels.get(label, 0) for case, pixels in data.scored_pixels.items()}
        pairs = [(sizes[row.identifier], row.by_class[label]) for row in tables[0].cases if sizes.get(row.identifier)]
        if pairs:
            points[label] = pairs
    if not points:
        return []
    name, top = tables[0].name, tables[0].top
    described = "; ".join(
        f"{label}: {min(pairs)[0]} to {max(pairs)[0]} pixels, {name} {min(pairs)[1]:.3f} in the smallest and "
        f"{max(pairs)[1]:.3f} in the largest"
        for label, pairs in points.items()
    )
    title = f"{name} over the size of the structure"
    return [_chart("size", title, described, lambda axes: plot_scores_over_size(axes, points, name, top))]


def _chart(name: str, title: str, description: str, plot: Callable[[Axes], None], height: float = HEIGHT) -> Chart:
    with figure_style():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        plot(figure.subplots())
        return Chart(title, Markup(inline_svg(figure, name, title, description)))


def _course(values: Sequence[float | None], spec: str = ".3f") -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "no value in any epoch"
    if len(values) == 1:
        return f"{numbers[0]:{spec}} in the only epoch"
    return f"from {numbers[0]:{spec}} to {numbers[-1]:{spec}} in {len(values)} epochs"
