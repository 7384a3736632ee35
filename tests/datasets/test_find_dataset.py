"""The data set on the command line: a folder, an id or a name."""

from __future__ import annotations

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.datasets.find_dataset import find_dataset

NAMES = ("Dataset702_AbdomenMR", "Dataset007_Liver", "Dataset008_Liver", "notes")


@pytest.fixture
def raw(tmp_path, monkeypatch):
    for name in NAMES:
        (tmp_path / "nnUNet_raw" / name).mkdir(parents=True)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "nnUNet_raw"))
    return tmp_path / "nnUNet_raw"


@pytest.mark.parametrize("text", ["702", "AbdomenMR", "Dataset702_AbdomenMR"])
def test_ids_and_names_are_found_below_nnunet_raw(raw, text):
    assert find_dataset(text) == raw / "Dataset702_AbdomenMR"


@pytest.mark.parametrize("text", ["7", "007"])
def test_an_id_may_have_leading_zeros(raw, text):
    assert find_dataset(text) == raw / "Dataset007_Liver"


def test_a_folder_comes_before_a_name(raw, monkeypatch):
    (raw.parent / "cwd" / "AbdomenMR").mkdir()
    assert find_dataset("AbdomenMR") == raw.parent / "cwd" / "AbdomenMR"
    assert find_dataset(str(raw / "Dataset008_Liver")) == raw / "Dataset008_Liver"


def test_without_the_variable_the_folder_nnunet_raw_is_looked_into(raw, monkeypatch):
    monkeypatch.delenv("nnUNet_raw")
    monkeypatch.chdir(raw.parent)
    assert find_dataset("702") == raw / "Dataset702_AbdomenMR"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("703", "holds no data set 703; it has Dataset007_Liver, Dataset008_Liver, Dataset702_AbdomenMR"),
        ("notes", "holds no data set notes"),
        ("Liver", "holds several data sets Liver: Dataset007_Liver, Dataset008_Liver"),
        ("some/where", "some/where is not a folder; give the folder"),
    ],
)
def test_what_is_not_there_is_named(raw, text, message):
    with pytest.raises(UserError, match=message):
        find_dataset(text)


def test_a_missing_nnunet_raw_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"there is no folder .*gone; .* set the environment variable nnUNet_raw"):
        find_dataset("702")


def test_a_link_keeps_its_name(raw):
    link = raw / "Dataset108_Grey"
    (raw.parent / "grey_v3").mkdir()
    link.symlink_to(raw.parent / "grey_v3", target_is_directory=True)
    for text in ("108", "Grey", str(link)):
        assert find_dataset(text) == link
