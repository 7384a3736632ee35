"""Which files make which case."""

from __future__ import annotations

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.prediction.input_cases import find_cases

THREE = ["a_0000", "a_0001", "a_0002"]


@pytest.mark.parametrize(
    ("names", "n_channels", "expected"),
    [
        (["b.png", "a.png"], 1, {"a": ["a.png"], "b": ["b.png"]}),
        (["a_0000.png"], 1, {"a": ["a_0000.png"]}),
        (["a_0000.png"], 3, {"a": ["a_0000.png"]}),
        (["a_0001.nii.gz", "a_0000.nii.gz"], 2, {"a": ["a_0000.nii.gz", "a_0001.nii.gz"]}),
        ([f"{name}.png" for name in THREE], 3, {"a": [f"{name}.png" for name in THREE]}),
        # The frames of a video have numbers too.
        ([f"{name}.png" for name in THREE], 1, {name: [f"{name}.png"] for name in THREE}),
        ([f"a_{n:04d}.tif" for n in range(5)], 3, {f"a_{n:04d}": [f"a_{n:04d}.tif"] for n in range(5)}),
        (["a_0007.png"], 1, {"a_0007": ["a_0007.png"]}),
        (["A.PNG", "notes.txt", ".hidden.png", "dataset.json"], 1, {"A": ["A.PNG"]}),
    ],
)
def test_files_become_cases(tmp_path, names, n_channels, expected):
    for name in names:
        (tmp_path / name).touch()
    cases, incomplete = find_cases(tmp_path, n_channels)
    assert {case.identifier: [path.name for path in case.files] for case in cases} == expected
    assert incomplete == {}


@pytest.mark.parametrize("numbers", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_missing_and_surplus_channels_do_not_keep_others_from_prediction(tmp_path, numbers):
    for name in ["good_0000.nii.gz", "good_0001.nii.gz", *(f"bad_{number:04d}.nii.gz" for number in numbers)]:
        (tmp_path / name).touch()
    cases, incomplete = find_cases(tmp_path, 2)
    assert [case.identifier for case in cases] == ["good"]
    assert list(incomplete) == ["bad"]
    assert f"{numbers[0]:04d}" in incomplete["bad"]
    assert "wants 0000, 0001" in incomplete["bad"]


def test_one_file_brings_its_other_channels(tmp_path):
    for name in ("a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz"):
        (tmp_path / name).touch()
    cases, _ = find_cases(tmp_path / "a_0001.nii.gz", 2)
    assert [[path.name for path in case.files] for case in cases] == [["a_0000.nii.gz", "a_0001.nii.gz"]]


def test_one_frame_is_predicted_alone(tmp_path):
    for number in range(3):
        (tmp_path / f"frame_{number:04d}.png").touch()
    cases, _ = find_cases(tmp_path / "frame_0001.png", 1)
    assert [case.identifier for case in cases] == ["frame_0001"]


@pytest.mark.parametrize("names", [("a.png", "a.tif"), ("a.png", "a_0000.png")])
def test_two_files_of_one_case_are_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="two files claim the case a"):
        find_cases(tmp_path, 1)


@pytest.mark.parametrize("make", ["nothing", "other", "missing", "file"])
def test_no_image_is_an_error(tmp_path, make):
    location = tmp_path / "in"
    if make != "missing":
        location.mkdir()
    if make in ("other", "file"):
        (location / "notes.txt").touch()
    with pytest.raises(UserError, match=r"known ending|does not exist"):
        find_cases(location / "notes.txt" if make == "file" else location, 1)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["a.jpg", "b_0000.JPEG"], {"a": "a.jpg", "b": "b_0000.JPEG"}), (["a.png", "a.jpg", "c.jpg"], {"a": "a.png"})],
)
def test_jpeg_images_are_taken_where_there_are_no_others(tmp_path, names, expected):
    for name in [*names, "._a.jpg", ".DS_Store", "Thumbs.db"]:
        (tmp_path / name).touch()
    cases, _ = find_cases(tmp_path, 1)
    assert {case.identifier: case.files[0].name for case in cases} == expected
    assert {case.ending for case in cases} == {".png"}
    single, _ = find_cases(tmp_path / "a.jpg", 1)
    assert [case.files[0].name for case in single] == ["a.jpg"]
