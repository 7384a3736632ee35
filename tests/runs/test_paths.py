"""Paths as a page says them."""

from __future__ import annotations

from pathlib import Path

import pytest
from swin_umamba.runs.paths import command_from, path_from, text_from


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/home/one/raw/Dataset1_A", "../raw/Dataset1_A"),
        ("/home/one/results/weights.pth", "weights.pth"),
        ("/home/two/Dataset1_A", "Dataset1_A"),
        ("/data/Dataset1_A", "Dataset1_A"),
        ("Dataset1_A", "Dataset1_A"),
    ],
)
def test_a_path_names_no_folder_of_a_person(path, wanted):
    assert path_from(Path("/home/one/results"), path) == wanted


def test_paths_of_a_command():
    command = "train /home/one/raw/D1 --group-by '/home/one/my table.csv:patient' --patch-size 32 32 --output out"
    wanted = "train ../raw/D1 --group-by '../my table.csv:patient' --patch-size 32 32 --output out"
    assert command_from(Path("/home/one/results"), command) == wanted


def test_paths_inside_of_a_sentence():
    start, dataset = Path("/home/one/results"), Path("/home/two/Dataset1_A")
    text = "/home/two/Dataset1_A is not there; see /home/one/results/run/train.log"
    assert text_from(start, text, dataset) == "Dataset1_A is not there; see run/train.log"
