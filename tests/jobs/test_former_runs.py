"""Results folders that the command finds: finished, moved, damaged, or made by another command."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil

import pytest
import torch
from skimage.io import imread, imsave
from swin_umamba.checkpoints.encoder_file import find_pretrained_file
from swin_umamba.commands.pretrain import main as pretrain
from swin_umamba.commands.train import main
from swin_umamba.common.errors import UserError
from swin_umamba.datasets import open_raw_dataset
from swin_umamba.jobs import training
from swin_umamba.jobs.check_inputs import try_pretrained
from swin_umamba.pretraining.settings import PretrainingSettings
from swin_umamba.runs.last_checkpoint import secure_last_checkpoint
from swin_umamba.runs.settings import Settings


@pytest.fixture
def former(finished, tmp_path):
    """A finished run that may be changed."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    return folder


def _set(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def resumed(monkeypatch):
    """The settings of the runs that are gone on with, which end there."""
    runs = []
    monkeypatch.setattr(training, "_execute", lambda job, *others: runs.append(job.settings))
    return runs


def _error(capfd, *arguments) -> str:
    assert main([*map(str, arguments), "--device", "cpu"]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_finished_run_is_shown_without_its_weights(train_py, discs, former, capfd, environment):
    weights = former.parent / "gone.pth"
    _set(former / "settings.json", pretrained=str(weights))
    assert main([str(discs), *train_py.tiny, "--pretrained", str(weights), "--output", str(former)]) == 0
    assert "this run has been done before; nothing was trained" in capfd.readouterr().out
    other = former.parent / "other.pth"
    error = _error(capfd, discs, *train_py.tiny, "--pretrained", other, "--output", former)
    assert f"(pretrained weights: {other} now, {weights} in the former run)" in error


def test_other_measures_may_be_said_on_resuming(former, environment, resumed):
    words = ["--resume", "--output", str(former), "--device", "cpu"]
    for more, expected in (((), None), (("--metrics", "dsc,hd95"), "dsc,hd95"), ((), "dsc,hd95")):
        assert main([*words, *more]) == 0
        assert resumed.pop().metrics == expected
        assert json.loads((former / "settings.json").read_text())["metrics"] == expected


def test_weights_that_nobody_names_are_those_of_the_former_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SWIN_UMAMBA_PRETRAINED", raising=False)
    assert find_pretrained_file("--no-pretrained", "/gone/weights.pth").as_posix() == "/gone/weights.pth"
    monkeypatch.setenv("SWIN_UMAMBA_PRETRAINED", "gone.pth")
    assert find_pretrained_file("--no-pretrained", "/gone/weights.pth") == tmp_path / "gone.pth"


def test_weights_are_needed_until_an_epoch_is_finished(former, capfd, environment, resumed):
    weights = former.parent / "gone.pth"
    _set(former / "settings.json", pretrained=str(weights))
    arguments = ["--resume", "--pretrained", str(weights), "--output", str(former)]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert [settings.pretrained for settings in resumed] == [str(weights)]
    for path in former.rglob("checkpoint_*.pth"):
        path.unlink()
    assert f"there is no file {weights}" in _error(capfd, *arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting property name"),
        ("{}", "dataset is None"),
        ('{"dataset": 3}', "dataset is 3"),
    ],
)
def test_damaged_metrics_of_a_finished_run(train_py, discs, former, capfd, environment, content, message):
    (former / "metrics.json").write_text(content)
    error = _error(capfd, discs, *train_py.tiny, "--output", former)
    assert f"{former / 'metrics.json'} is damaged: {message}" in error
    assert "write it anew with: swin-umamba train --resume" in error


def test_a_finished_run_of_other_classes(train_py, discs, former, tmp_path, capfd, environment):
    folder = tmp_path / discs.name
    shutil.copytree(discs, folder)
    _set(folder / "dataset.json", labels={"background": 0, "edge": 1, "core": 2})
    _set(former / "settings.json", dataset=str(folder))
    error = _error(capfd, folder, *train_py.tiny, "--output", former)
    assert f"has scores of the classes rim, core, but {folder} has now edge, core" in error


@pytest.fixture
def moved(discs, former, tmp_path):
    """The data set at another place; the former one is gone."""
    folder = tmp_path / "moved" / discs.name
    shutil.copytree(discs, folder)
    _set(former / "settings.json", dataset=str(tmp_path / "gone" / discs.name))
    return folder


def test_a_moved_data_set_is_told_on_resuming(former, moved, capfd, environment, resumed):
    error = _error(capfd, "--resume", "--output", former)
    assert f"no longer in {former.parent / 'gone' / moved.name}; if it was moved, give its new folder: " in error
    assert f"swin-umamba train NEW/{moved.name} --resume --output {former}" in error
    assert main([str(moved), "--resume", "--output", str(former), "--device", "cpu"]) == 0
    assert [settings.dataset for settings in resumed] == [str(moved)]
    # From now on the run knows its place.
    assert main(["--resume", "--output", str(former), "--device", "cpu"]) == 0
    assert json.loads((former / "settings.json").read_text())["dataset"] == str(moved)


def _another_case(folder):
    for path in (folder / "imagesTr" / "disc_tr0_0000.png", folder / "labelsTr" / "disc_tr0.png"):
        path.rename(path.with_name(path.name.replace("tr0", "tr9")))


def _other_labels(folder):
    _set(folder / "dataset.json", labels={"background": 0, "core": 1, "rim": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_another_case, "the run has the training case 'disc_tr0', .* has not"),
        (_other_labels, "its dataset.json has 'labels' .*'core': 1.*, the run .*'rim': 1"),
    ],
)
def test_another_data_set_in_its_place_is_refused(former, moved, capfd, environment, resumed, change, message):
    change(moved)
    before = (former / "settings.json").read_text()
    error = _error(capfd, moved, "--resume", "--output", former)
    assert "is another data set than that of the run to resume" in error
    assert re.search(message, error)
    assert (former / "settings.json").read_text() == before
    assert resumed == []


def test_a_data_set_of_another_name_is_refused(former, moved, capfd, environment):
    other = moved.rename(moved.with_name("Dataset902_Discs"))
    error = _error(capfd, other, "--resume", "--output", former)
    assert f"data set: {other} now, {former.parent / 'gone' / moved.name} in the former run" in error


def test_the_runs_of_another_command_are_told_apart(tmp_path, discs, capfd, environment):
    pretraining, training = tmp_path / "pretraining", tmp_path / "training"
    for folder, settings in (
        (pretraining, PretrainingSettings(data="/images").as_json()),
        (training, Settings(dataset="/d").as_json()),
    ):
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(settings))
    for resume in ([], ["--resume"]):
        error = _error(capfd, discs, *resume, "--output", pretraining)
        assert f"{pretraining} holds a run of swin-umamba pretrain, and not one of swin-umamba train" in error
        assert f"go on with that run by: swin-umamba pretrain /images --resume --output {pretraining}" in error
        assert pretrain([str(discs), *resume, "--output", str(training), "--device", "cpu"]) == 2
        error = capfd.readouterr().err
        assert f"{training} holds a run of swin-umamba train, and not one of swin-umamba pretrain" in error
        assert f"by: swin-umamba train --resume --output {training}" in error


@pytest.mark.slow
def test_after_a_damaged_last_checkpoint_the_training_goes_on_from_what_is_left(train_py, finished, former):
    (final,) = former.rglob("checkpoint_final.pth")
    final.write_bytes(final.read_bytes()[:5000])
    (former / "metrics.json").unlink()
    damaged = train_py.run("--resume", "--output", former, cwd=former.parent)
    assert damaged.returncode == 2
    assert "checkpoint_final.pth is incomplete or damaged (5000 bytes; " in damaged.stderr
    assert "checkpoint_best.pth is left: delete checkpoint_final.pth, and the same command goes on" in damaged.stderr
    assert "download" not in damaged.stderr
    final.unlink()
    resumed = train_py.run("--resume", "--output", former, cwd=former.parent)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after epoch" in resumed.stdout
    once, twice = (json.loads((run / "metrics.json").read_text()) for run in (finished[0], former))
    assert twice["training"] == once["training"]
    assert twice["held_out"] == once["held_out"]


@pytest.mark.parametrize(("epochs", "name"), [(5, "latest"), (4, "final")])
def test_the_newest_checkpoint_is_gone_on_from_where_no_other_is_left(tmp_path, epochs, name):
    fold = tmp_path / "Dataset901_Discs" / "trainer__plans__2d" / "fold_all"
    fold.mkdir(parents=True)
    assert secure_last_checkpoint(tmp_path, epochs) is None
    (fold / "checkpoint_latest.pth.partial").touch()
    assert secure_last_checkpoint(tmp_path, epochs) is None
    for age, (kept, finished) in enumerate((("epoch_3", 4), ("best", 1))):
        torch.save({"current_epoch": finished}, fold / f"checkpoint_{kept}.pth")
        os.utime(fold / f"checkpoint_{kept}.pth", (1000 - age, 1000 - age))
    last = fold / f"checkpoint_{name}.pth"
    for _ in range(2):
        assert secure_last_checkpoint(tmp_path, epochs) == last
        assert last.read_bytes() == (fold / "checkpoint_epoch_3.pth").read_bytes()
    last.unlink()
    (fold / "checkpoint_epoch_3.pth").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"checkpoint_best.pth is left: delete checkpoint_epoch_3.pth"):
        secure_last_checkpoint(tmp_path, epochs)


@pytest.mark.parametrize(
    ("labels", "order", "outputs"),
    [
        ({"background": 0, "rim": 1, "core": 2}, None, 3),
        ({"background": 0, "disc": [1, 2], "core": 2}, [1, 2], 2),
    ],
)
def test_weights_are_tried_on_a_network_of_the_data_sets_outputs(
    make_data_set, tmp_path, monkeypatch, labels, order, outputs
):
    built = []
    monkeypatch.setattr("swin_umamba.networks.build.build_model", lambda *arguments: built.append(arguments))
    monkeypatch.setattr("swin_umamba.checkpoints.load_pretrained", lambda *arguments: None)
    folder = make_data_set(tmp_path)
    _set(folder / "dataset.json", labels=labels, regions_class_order=order)
    settings = Settings(str(folder), "swin-umamba", pretrained="weights.pth")
    try_pretrained(settings, open_raw_dataset(folder))
    try_pretrained(dataclasses.replace(settings, dataset=None), None)
    assert built == [("swin-umamba", 1, outputs), ("swin-umamba", 1, 3)]


def _brighter(folder):
    path = folder / "imagesTr" / "disc_tr0_0000.png"
    imsave(path, imread(path) + 1, check_contrast=False)


def _other_label(folder):
    path = folder / "labelsTr" / "disc_tr0.png"
    imsave(path, 2 - imread(path), check_contrast=False)


def _one_more(folder):
    for path in (folder / "imagesTr" / "disc_tr0_0000.png", folder / "labelsTr" / "disc_tr0.png"):
        shutil.copy(path, path.with_name(path.name.replace("tr0", "tr9")))
    _set(folder / "dataset.json", numTraining=7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_brighter, "has changed since the run began: image or label of the training case 'disc_tr0' holds something"),
        (_other_label, "has changed since the run began: image or label of the training case 'disc_tr0' holds"),
        (_one_more, "has the training case 'disc_tr9', the run has not"),
        (_other_labels, "its dataset.json has 'labels'"),
    ],
)
def test_a_data_set_that_has_changed_is_refused(former, moved, capfd, environment, resumed, change, message):
    """What is preprocessed is of the former files: one would be learned from, and the other scored."""
    _set(former / "settings.json", dataset=str(moved))
    change(moved)
    assert message in _error(capfd, "--resume", "--output", former)
    assert resumed == []


def test_a_data_set_that_was_only_written_anew_is_the_same(former, moved, environment, resumed):
    for path in [*moved.glob("*/*.png")]:
        imsave(path, imread(path), check_contrast=False)
        os.utime(path, (0, 0))
    assert main([str(moved), "--resume", "--output", str(former), "--device", "cpu"]) == 0
    assert len(resumed) == 1
