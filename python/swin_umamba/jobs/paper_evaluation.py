"""The paper's metric for the test cases of the paper's data sets, as published and as defined."""

from __future__ import annotations

from typing import Any

from ..common.console import PlainConsole
from ..common.typed_json import from_json
from ..datasets import RawDataset
from ..datasets.sample_cells import CELLS_NAME
from ..evaluation import EvaluationError, evaluate_folders
from ..evaluation.scores import PAPER_METRICS
from ..paper.data_sets import INSTANCES
from ..paper.protocol import RULES, find_protocol
from ..runs.folder import RunFolder
from ..runs.record import PaperEvaluation


def evaluate_as_in_paper(dataset: RawDataset, folder: RunFolder, console: PlainConsole) -> dict[str, Any]:
    """Score the predictions of a run by both rules, print the scores and write them by case.

    Parameters
    ----------
    dataset
        Any data set; those that are none of the paper's nor the sample of cells, or have no test cases, are not
        scored.
    folder
        Has the predictions, and gets the scores.
    console
        What the user sees.

    Returns
    -------
    dict
        Fields of `swin_umamba.runs.record.RunRecord`: for each key of `RULES` the evaluation, ``None`` where there is
        no score; and ``not_evaluated``, by the same keys the reasons why there is none where there should be.
    """
    entries: dict[str, Any] = {**dict.fromkeys(RULES), "not_evaluated": {}}
    protocol = find_protocol(dataset.name)
    metric = protocol.metric if protocol is not None else None
    if dataset.name == CELLS_NAME:
        metric = "cells"
    if metric is None or not dataset.held_out:
        return entries
    references = dataset.folder / (INSTANCES if metric == "cells" else "labelsTs")
    for key, words in RULES.items():
        what = f"the paper's metric ({metric}) {words}"
        as_published = key == "evaluation_as_published"
        try:
            evaluation = evaluate_folders(references, folder.predictions, metric, as_published=as_published)
        except EvaluationError as error:
            # The run is done; its other scores must not get lost with this one.
            entries["not_evaluated"][key] = str(error)
            console.print(f"no score by {what}: {error}")
            continue
        where = getattr(folder, key)
        evaluation.write(where)
        entries[key] = from_json(PaperEvaluation, evaluation.summary())
        console.print(f"{what}: {_scores(entries[key])}, by case in {where}")
    return entries


def _scores(evaluation: PaperEvaluation) -> str:
    means = {PAPER_METRICS[key]: score.mean for key, score in evaluation.scores.items()}
    return ", ".join(f"{name} {'-' if mean is None else f'{mean:.4f}'}" for name, mean in means.items())
