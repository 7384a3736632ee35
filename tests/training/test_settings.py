"""Settings: defaults, what the user says, and what a resumed run keeps."""

from __future__ import annotations

import json

import pytest
from swin_umamba.errors import UserError
from swin_umamba.training.settings import SAMPLE_SETTINGS, Settings, choose_settings, read_settings


def test_the_sample_and_other_data_sets_have_defaults_of_their_own():
    assert choose_settings({"dataset": None}, None) == SAMPLE_SETTINGS
    assert choose_settings({"dataset": "d", "epochs": 5}, None) == Settings(dataset="d", epochs=5)


def test_the_defaults_of_other_data_sets_are_the_papers():
    settings = Settings(dataset="d")
    assert (settings.epochs, settings.iterations, settings.learning_rate) == (100, 250, 1e-4)


def test_settings_survive_the_file(tmp_path):
    settings = Settings(dataset="d", patch_size=(64, 32), fold="all", seed=7)
    (tmp_path / "settings.json").write_text(json.dumps(settings.as_json()))
    assert read_settings(tmp_path / "settings.json") == settings


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"patch_size": null, "colour": 1}'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"cannot read the settings of the former run in .*settings.json"):
        read_settings(path)


def test_a_resumed_run_keeps_its_settings():
    stored = Settings(dataset="d", epochs=5, patch_size=(64, 64))
    assert choose_settings({"epochs": 5, "seed": None}, stored) == stored
    with pytest.raises(UserError, match="--patch-size 32 32 differs from the run to resume, which has 64 64"):
        choose_settings({"patch_size": (32, 32)}, stored)
