"""What a reader should know before quoting the numbers of a run."""

from __future__ import annotations

from collections.abc import Sequence

from ..paper.protocol import RULES
from ..runs.record import FinishedRun, RunRecord
from .score_tables import ScoreTable, make_score_tables

FEW_CASES = 10
SAMPLES = {"brain": "slices of one averaged brain, and an easy task", "cells": "drawn cells"}


def make_cautions(run: FinishedRun) -> list[str]:
    """One sentence or two for each thing; an empty list where there is nothing to warn of."""
    record = run.record
    # By the DSC, whatever the page shows.
    tables = make_score_tables(record.held_out)
    cautions = []
    if record.is_sample:
        cautions.append(
            f"This is the sample data set: {SAMPLES[record.settings.sample]}. Its scores show that the software works, "
            f"and nothing else."
        )
    if not tables:
        cautions.append(
            "No held-out cases: the run trained on every case, and the data set has no labelled test cases. "
            "Nothing was scored; the validation curves were measured on training cases."
        )
    else:
        cautions += _about_scores(record, tables)
    cautions += _about_papers_metric(run)
    cautions += _about_curves(record)
    return cautions


def _about_scores(record: RunRecord, tables: Sequence[ScoreTable]) -> list[str]:
    cases = tables[0].cases
    cautions = []
    if record.held_out_from == "validation":
        cautions.append(
            f"The scored cases are the validation cases of fold {record.settings.fold}; the data set has no "
            f"labelled test cases."
        )
    if record.suspected_groups:
        cautions.append(record.suspected_groups)
    if len(cases) < FEW_CASES:
        counted = "1 case was" if len(cases) == 1 else f"{len(cases)} cases were"
        cautions.append(f"Only {counted} scored: mean and standard deviation of so few say little about others.")
    for name in tables[0].per_class:
        absent = sum(name in case.absent for case in cases)
        if absent:
            cautions.append(
                f"“{name}” is absent from reference and prediction in {absent} of {len(cases)} cases, which score 1 "
                f"there (errors 0; marked * in the tables) and flatter its mean."
            )
    missed = [name for name, values in tables[0].per_class.items() if values.max == 0]
    if missed:
        names = ", ".join(f"“{name}”" for name in missed)
        cautions.append(f"Not found in any case: {names} (DSC 0 everywhere).")
    return cautions


def _about_papers_metric(run: FinishedRun) -> list[str]:
    cautions = []
    for rule, words in RULES.items():
        if reason := run.why_no_score(rule):
            tables = ", by which the paper’s tables were made" if rule == "evaluation_as_published" else ""
            cautions.append(f"There is no score of the paper’s metric {words}{tables}: {reason}.")
    return cautions


def _about_curves(record: RunRecord) -> list[str]:
    cautions = []
    names = {
        "train_loss": "training loss",
        "validation_loss": "validation loss",
        "validation_dice": "validation Dice",
        "learning_rate": "learning rate",
    }
    for key, name in names.items():
        epochs = [epoch for epoch, value in enumerate(getattr(record.training, key), start=1) if value is None]
        if epochs:
            first = ", ".join(map(str, epochs[:5]))
            which = f"{len(epochs)} epochs, first in {first}" if len(epochs) > 5 else f"epoch {first}"
            cautions.append(f"The {name} was not a finite number in {which}.")
    return cautions
