"""Settings: defaults, what the user says, and what a resumed run keeps."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.common.processors import set_worker_defaults
from swin_umamba.paper.systems import SYSTEMS
from swin_umamba.runs.settings import (
    SAMPLE_SETTINGS,
    Settings,
    choose_settings,
    default_settings,
)

AS_IN_THE_PAPER = {
    "Dataset702_AbdomenMR": ((320, 320), 100, 99),
    "Dataset704_Endovis17": ((384, 640), 350, 249),
    "Dataset703_NeurIPSCell": ((512, 512), 450, 349),
}


def test_the_sample_and_other_data_sets_have_defaults_of_their_own():
    assert default_settings(None, "swin-umamba-d", None) == SAMPLE_SETTINGS
    assert default_settings("Dataset101_Liver", "swin-umamba-d", None) == Settings(dataset="Dataset101_Liver")


def test_another_model_keeps_its_learning_rate_on_the_sample():
    assert default_settings(None, "segresnet", None).learning_rate is None


@pytest.mark.parametrize("dataset", [None, "Dataset702_AbdomenMR", "Dataset101_Liver"])
@pytest.mark.parametrize("model", [name for name, system in SYSTEMS.items() if system.twin_of])
def test_a_network_without_scans_is_trained_as_the_one_with_them(dataset, model):
    settings = default_settings(dataset, model, None)
    assert replace(settings, model=SYSTEMS[model].twin_of) == default_settings(dataset, SYSTEMS[model].twin_of, None)


@pytest.mark.parametrize("model", ["swin-umamba", "swin-umamba-d", "nnunet"])
@pytest.mark.parametrize("name", AS_IN_THE_PAPER)
def test_the_papers_data_sets_have_the_papers_settings(name, model):
    settings = default_settings(f"raw/{name}", model, "weights.pth")
    assert (settings.patch_size, settings.epochs, settings.checkpoint_epoch) == AS_IN_THE_PAPER[name]
    assert settings.fold == "all"
    assert settings.deep_supervision is None


def test_an_id_with_another_name_is_not_the_papers_data_set():
    assert default_settings("Dataset702_Liver", "swin-umamba", None) == Settings("Dataset702_Liver", "swin-umamba")


def test_the_dagger_without_pretraining_on_abdomen_mr_is_a_special_case():
    scratch = default_settings("Dataset702_AbdomenMR", "swin-umamba-d", None)
    assert (scratch.epochs, scratch.deep_supervision, scratch.checkpoint_epoch) == (200, False, None)
    assert scratch.trainer == "nnUNetTrainerSwinUMambaDScratch"
    other = default_settings("Dataset702_AbdomenMR", "swin-umamba", None)
    assert (other.epochs, other.deep_supervision) == (100, None)
    assert default_settings("Dataset704_Endovis17", "swin-umamba-d", None).epochs == 350


def test_what_the_user_says_comes_before_the_paper():
    defaults = default_settings("Dataset704_Endovis17", "swin-umamba", "weights.pth")
    assert choose_settings({"patch_size": (64, 64), "fold": 2}, defaults).checkpoint_epoch == 249
    assert choose_settings({"epochs": 350}, defaults).checkpoint_epoch == 249
    assert choose_settings({"epochs": 300}, defaults).checkpoint_epoch is None
    assert choose_settings({"epochs": 300, "checkpoint_epoch": 20}, defaults).checkpoint_epoch == 20


def test_a_checkpoint_after_the_last_epoch_is_refused():
    with pytest.raises(UserError, match=r"--checkpoint-epoch 5: the 5 epochs are counted from 0 to 4"):
        choose_settings({"epochs": 5, "checkpoint_epoch": 5}, Settings("d"))


def test_deep_supervision_is_refused_where_there_is_none():
    with pytest.raises(UserError, match="--deep-supervision: unetr has one output"):
        choose_settings({"deep_supervision": True}, Settings("d", "unetr"))


def test_the_trainer_tells_whether_weights_are_pretrained():
    assert Settings("d", "swin-umamba", "file").trainer == "nnUNetTrainerSwinUMamba"
    assert Settings("d", "swin-umamba").trainer == "nnUNetTrainerSwinUMambaScratch"
    assert Settings("d", "unetr").trainer == "nnUNetTrainerUNETR"


def test_a_model_that_there_is_none_of_is_named(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**Settings("d").as_json(), "model": "unet"}))
    with pytest.raises(UserError, match=r"cannot read the settings of the former run in .*there is no model 'unet'"):
        Settings.read(path)


def test_settings_survive_the_file(tmp_path):
    settings = Settings(dataset="d", patch_size=(64, 32), fold="all", seed=7)
    (tmp_path / "settings.json").write_text(json.dumps(settings.as_json()))
    assert Settings.read(tmp_path / "settings.json") == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": "2"}, "batch_size must be a whole number, got '2'"),
        ({"batch_size": 2.0}, "batch_size must be a whole number, got 2.0"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"epochs": -1}, "epochs must be between 1 and 100000, got -1"),
        ({"epochs": None}, "epochs must be a whole number, got None"),
        ({"patch_size": [64]}, "patch_size must be 2 values, got [64]"),
        ({"patch_size": [64, 8]}, "patch_size must be between 16 and 4096, got 8"),
        ({"patch_size": 64}, "patch_size must be 2 values, got 64"),
        ({"learning_rate": 0}, "learning_rate must be above 0 and at most 1, got 0"),
        ({"nsd_tolerance": float("nan")}, "nsd_tolerance must be above 0 and at most 1000, got nan"),
        ({"nsd_tolerance": "1"}, "nsd_tolerance must be a number, got '1'"),
        ({"fold": "some"}, "fold must be a whole number, got 'some', or all"),
        ({"fold": 1000}, "fold must be between 0 and 999, got 1000, or all"),
        ({"amp": "on"}, "amp must be one of auto, off, bfloat16, float16; there is no choice 'on'"),
        ({"deep_supervision": "yes"}, "deep_supervision must be true or false, got 'yes'"),
        ({"dataset": 3}, "dataset must be text, got 3"),
        ({"colour": "red"}, "there is no setting 'colour'"),
    ],
)
def test_a_wrong_value_in_the_file_is_named_in_one_line(tmp_path, change, message):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**Settings("d").as_json(), **change}))
    with pytest.raises(UserError) as caught:
        Settings.read(path)
    assert str(caught.value) == f"cannot read the settings of the former run in {path}: {message}"


def test_a_file_of_the_first_version_is_read(tmp_path):
    path = tmp_path / "settings.json"
    first = {"dataset": None, "model": "swin-umamba-d", "epochs": 10, "iterations": 20, "batch_size": 4}
    first |= {"patch_size": [128, 128], "learning_rate": 0.001, "fold": 0, "seed": 0, "nsd_tolerance": 1.0}
    path.write_text(json.dumps(first))
    assert Settings.read(path) == SAMPLE_SETTINGS


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"patch_size": null, "colour": 1}'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"cannot read the settings of the former run in .*settings.json"):
        Settings.read(path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"patch_size": (32, 32)}, "patch size: 32 32 now, 64 64 in the former run"),
        ({"patch_size": None}, "patch size: left to nnU-Net now, 64 64 in the former run"),
        ({"pretrained": None}, "pretrained weights: none now, weights.pth in the former run"),
        ({"dataset": None}, "data set: the sample now, d in the former run"),
        ({"deep_supervision": False}, "deep supervision: no now, left to the model in the former run"),
        ({"checkpoint_epoch": 3}, "checkpoint epoch: 3 now, the last in the former run"),
        (
            {"batch_size": 2, "epochs": 6, "seed": 0},
            "batch size: 2 now, left to nnU-Net in the former run; epochs: 6 now, 5 in the former run",
        ),
    ],
)
def test_all_other_settings_than_those_of_a_former_run_are_named(said, message):
    stored = Settings(dataset="d", epochs=5, patch_size=(64, 64), pretrained="weights.pth")
    stored.check_unchanged({"epochs": 5, "patch_size": (64, 64)}, "advice")
    with pytest.raises(UserError) as caught:
        stored.check_unchanged(said, "advice")
    assert str(caught.value) == f"the settings differ ({message}); advice"


def test_a_setting_that_is_missing_is_named(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({key: value for key, value in Settings("d").as_json().items() if key != "model"}))
    with pytest.raises(UserError, match=r"settings.json: it has no 'model'"):
        Settings.read(path)


@pytest.mark.parametrize(
    ("users", "spin_count"),
    [({}, "4000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_how_threads_wait_is_the_users_choice(users: dict[str, str], spin_count: str | None, monkeypatch) -> None:
    # Restored by monkeypatch, whatever the function sets.
    for name in ("nnUNet_def_n_proc", "nnUNet_n_proc_DA", "THP_MEM_ALLOC_ENABLE"):
        monkeypatch.setenv(name, "1")
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    set_worker_defaults()
    assert os.environ.get("GOMP_SPINCOUNT") == spin_count
