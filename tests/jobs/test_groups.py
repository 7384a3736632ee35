"""A training whose cases belong together: its folds, its record and its page; and what is said where they may."""

from __future__ import annotations

import json
import os
from unittest import mock

import numpy as np
import pytest
from skimage.io import imsave
from swin_umamba.commands import cli
from swin_umamba.jobs import check_inputs
from swin_umamba.runs.settings import Settings

PATIENTS = {"disc_tr0": "anna", "disc_tr1": "bert", "disc_tr2": "anna", "disc_tr3": "carl", "disc_tr4": "carl"}


@pytest.fixture
def patients(tmp_path):
    path = tmp_path / "patients.csv"
    lines = ["case,patient", *(f"{case},{patient}" for case, patient in {**PATIENTS, "disc_tr5": "dora"}.items())]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_folds_record_and_page_are_by_group(train_py, discs, patients, tmp_path):
    done = train_py.run(
        discs, *train_py.tiny, "--group-by", "patients.csv:patient", "--output", "run", cwd=patients.parent
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    folds = json.loads(next(run.rglob("splits_final.json")).read_text())
    groups = {**PATIENTS, "disc_tr5": "dora"}
    assert len(folds) == 4
    for fold in folds:
        assert not {groups[case] for case in fold["train"]} & {groups[case] for case in fold["val"]}
    metrics = json.loads((run / "metrics.json").read_text())
    assert sorted(metrics["held_out"]["per_case"]) == sorted(folds[0]["val"])
    assert metrics["groups"] == {"of_scored": {case: groups[case] for case in folds[0]["val"]}, "trained": 3}
    assert metrics["settings"]["group_by"] == f"{patients}:patient"
    page = (run / "report.html").read_text()
    assert "are of 1 groups" in page
    assert "none of which is among the 3 that were trained on" in page
    resumed = train_py.run("--resume", "--output", "run", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr


@pytest.fixture
def slices(tmp_path):
    """A data set of two slices each of five patients, to be checked only."""
    folder = tmp_path / "Dataset902_Slices"
    image = np.tile(np.arange(40, dtype=np.uint8), (40, 1))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for patient in range(5):
        for number in range(2):
            name = f"p{patient}_slice{number}"
            imsave(folder / "imagesTr" / f"{name}_0000.png", image, check_contrast=False)
            imsave(folder / "labelsTr" / f"{name}.png", (image > 20).astype(np.uint8), check_contrast=False)
    description = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "disc": 1}, "numTraining": 10}
    (folder / "dataset.json").write_text(json.dumps({**description, "file_ending": ".png"}))
    return folder


def test_names_that_suggest_groups_are_told_before_any_training(slices, tmp_path, capfd):
    check_inputs.open_checked_dataset(Settings(str(slices)), tmp_path / "out")
    said = " ".join(capfd.readouterr().out.split())
    assert "100% of the scored cases share the beginning of their name" in said
    dataset = check_inputs.open_checked_dataset(Settings(str(slices), group_by=r"^p\d+"), tmp_path / "out")
    assert "2 of the 2 scored cases have the same pixels as one that is trained on (p0_slice0 is p" in said
    assert "suggest groups" not in capfd.readouterr().out
    assert len(dataset.splits) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--group-by", "none.csv:patient"), "cannot read the table"),
        (("--group-by", "(x"), "neither TABLE.csv:COLUMN nor a regular expression"),
        (("--group-by", "slice"), "all training cases are of one group"),
    ],
)
def test_wrong_groups_are_told_before_any_training(slices, tmp_path, capsys, words, message):
    with mock.patch.dict(os.environ):
        assert cli.main(["train", str(slices), *words, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_sample_takes_no_groups(tmp_path, capsys):
    with mock.patch.dict(os.environ):
        assert cli.main(["train", "--group-by", "x", "--output", str(tmp_path / "out")]) == 2
    assert "--group-by: the sample's own split" in capsys.readouterr().err
