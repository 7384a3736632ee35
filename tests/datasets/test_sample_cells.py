"""The sample of cells: drawn by its recipe, whole, and not to be solved by grey values."""

from __future__ import annotations

import os
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from skimage.io import imread
from swin_umamba.commands import cli
from swin_umamba.datasets import check_cases, open_raw_dataset, prepare_sample
from swin_umamba.datasets.sample_cells import COUNTS, draw_cells, interior_and_boundary
from swin_umamba.evaluation import evaluate_folders
from swin_umamba.paper.data_sets import INSTANCES

DOCUMENT = Path(__file__).parents[2] / "docs" / "train.md"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """The folder of the documentation's example, with the sample in it."""
    root = tmp_path_factory.mktemp("cells")
    prepare_sample(root / "results" / "Dataset153_SampleCells-swin-umamba-d" / "nnUNet_raw", "cells")
    return root


@pytest.fixture(scope="module")
def sample(raw):
    return next(raw.rglob("Dataset153_SampleCells"))


def test_it_is_a_data_set_that_passes_the_checks(sample):
    dataset = open_raw_dataset(sample)
    check_cases(dataset, [*dataset.training, *dataset.held_out])
    assert dataset.classes == {"interior": (1,), "boundary": (2,)}
    assert len(dataset.training) == COUNTS["training"] + COUNTS["validation"]
    assert len(dataset.held_out) == COUNTS["held-out"]
    assert [len(dataset.splits[0][part]) for part in ("train", "val")] == [COUNTS["training"], COUNTS["validation"]]


def test_one_seed_draws_one_image(sample):
    first, again = (draw_cells(np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    images = [imread(path) for path in sorted((sample / "imagesTr").glob("*.png"))[:5]]
    assert all(not np.array_equal(images[0], image) for image in images[1:])


def test_labels_are_interior_and_boundary_of_the_numbered_cells(sample):
    for path in sorted((sample / INSTANCES).glob("*.png"))[:4]:
        instances, labels = imread(path), imread(sample / "labelsTs" / path.name)
        np.testing.assert_array_equal(labels > 0, instances > 0)
        np.testing.assert_array_equal(labels, interior_and_boundary(instances))
        assert set(np.unique(instances)) == set(range(instances.max() + 1))
        # No two cells touch in their interiors.
        for rows, columns in ((0, 1), (1, 0)):
            here, there = (
                np.where(labels == 1, instances, 0)[part]
                for part in (
                    np.s_[: labels.shape[0] - rows, : labels.shape[1] - columns],
                    np.s_[rows:, columns:],
                )
            )
            assert not ((here != there) & (here > 0) & (there > 0)).any()


def test_right_labels_find_nearly_all_cells(sample):
    """Those cut in two by others are the rest."""
    summary = evaluate_folders(sample / INSTANCES, sample / "labelsTs", "cells").summary()
    assert summary["f1"]["mean"] > 0.97


def test_code_prints_what_the_document_says(raw, monkeypatch, capsys):
    """And neither thresholds nor nearest neighbours find the cells."""
    text = DOCUMENT.read_text()
    blocks = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL)
    code, printed = next(block for block in blocks if "SampleCells" in block[0])
    monkeypatch.chdir(raw)
    exec(compile(code, str(DOCUMENT), "exec"), {})
    assert capsys.readouterr().out == printed
    scores = [float(score) for score in re.findall(r": (\S+)", printed)]
    assert max(scores) < 0.1
    for name, score in re.findall(r"(.*): (\S+)", printed):
        assert f"| {name} | {score} |" in text


def test_a_sample_beside_a_data_set_is_refused(discs, tmp_path, capsys):
    with mock.patch.dict(os.environ):
        words = ["train", str(discs), "--sample", "cells", "--output", str(tmp_path / "out")]
        assert cli.main(words) == 2
    assert "--sample cells: a data set was named" in capsys.readouterr().err
