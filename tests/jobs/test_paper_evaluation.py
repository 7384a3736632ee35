"""Test cases of one of the paper's data sets, scored by both rules. Predictions are shifted references."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from skimage.io import imread, imsave
from swin_umamba.common.typed_json import as_json, from_json
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.evaluation import evaluate_folders, find_rule
from swin_umamba.jobs.paper_evaluation import evaluate_as_in_paper
from swin_umamba.paper import data_sets
from swin_umamba.paper.data_sets import ENDOSCOPY
from swin_umamba.paper.protocol import find_protocol
from swin_umamba.runs.folder import RunFolder
from swin_umamba.runs.record import PaperEvaluation


@pytest.fixture
def endoscopy(make_data_set, tmp_path):
    """A data set with the paper's name, and the folder of a run with its predictions."""
    raw = make_data_set(tmp_path / "raw", training=1, held_out=3)
    dataset = open_raw_dataset(raw.rename(raw.with_name(ENDOSCOPY.name)))
    folder = RunFolder(tmp_path / "run")
    folder.predictions.mkdir(parents=True)
    for case in dataset.held_out:
        _write(folder.predictions / case.label.name, np.roll(imread(case.label), 4, axis=1))
    return dataset, folder


def _write(path, labels):
    imsave(path, labels, check_contrast=False)


def _evaluate(dataset, folder):
    output = io.StringIO()
    return as_json(evaluate_as_in_paper(dataset, folder, Console(file=output, width=1000))), output.getvalue()


def test_both_rules_are_computed_printed_and_written(endoscopy):
    dataset, folder = endoscopy
    entries, printed = _evaluate(dataset, folder)
    for key, words in (("evaluation_as_published", "as published"), ("evaluation", "as defined")):
        expected = evaluate_folders(
            dataset.folder / "labelsTs", folder.predictions, "endoscopy", as_published=words == "as published"
        ).summary()
        assert entries[key] == expected
        assert json.loads((folder.root / key / "summary.json").read_text()) == expected
        means = f"DSC {expected['dsc']['mean']:.4f}, NSD {expected['nsd']['mean']:.4f}"
        assert f"the paper's metric (endoscopy) {words}: {means}, by case in {folder.root / key}\n" in printed
    # The faces of the slab count as published.
    assert entries["evaluation_as_published"]["nsd"]["mean"] > entries["evaluation"]["nsd"]["mean"] + 0.1
    assert entries["not_evaluated"] == {}


def test_an_image_without_instrument_costs_the_score_as_published_alone(endoscopy):
    dataset, folder = endoscopy
    case = dataset.held_out[1]
    for path in (case.label, folder.predictions / case.label.name):
        _write(path, np.zeros_like(imread(path)))
    entries, printed = _evaluate(dataset, folder)
    assert entries["evaluation"]["n_cases"] == 3
    assert entries["evaluation_as_published"] is None
    (reason,) = entries["not_evaluated"].values()
    assert list(entries["not_evaluated"]) == ["evaluation_as_published"]
    assert reason.startswith(f"case {case.identifier}: neither reference nor prediction holds an instrument")
    assert f"no score by the paper's metric (endoscopy) as published: {reason}" in printed
    assert not folder.evaluation_as_published.exists()


def test_a_missing_prediction_costs_both_and_not_the_run(endoscopy):
    dataset, folder = endoscopy
    (folder.predictions / dataset.held_out[0].label.name).unlink()
    entries, _ = _evaluate(dataset, folder)
    assert entries["evaluation"] is entries["evaluation_as_published"] is None
    assert set(entries["not_evaluated"]) == {"evaluation", "evaluation_as_published"}


def test_other_data_sets_are_not_scored(make_data_set, tmp_path):
    dataset = open_raw_dataset(make_data_set(tmp_path, held_out=1))
    entries, printed = _evaluate(dataset, RunFolder(tmp_path / "run"))
    assert entries == {"evaluation": None, "evaluation_as_published": None, "not_evaluated": {}}
    assert printed == ""


def test_a_run_can_keep_the_metric_of_every_protocol():
    score = {"mean": 0.5, "std": 0.1, "n": 2, "per_class": {}}
    definitions = [value for value in vars(data_sets).values() if isinstance(value, data_sets.DatasetDefinition)]
    for protocol in filter(None, (find_protocol(definition.name) for definition in definitions)):
        keys = find_rule(protocol.metric).keys
        summary = {"metric": protocol.metric, "n_cases": 2, **dict.fromkeys(keys, score)}
        assert tuple(from_json(PaperEvaluation, summary).scores) == keys
