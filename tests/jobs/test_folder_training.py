"""``swin-umamba train IMAGES MASKS``: the data set is made first, and used again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.io import imread, imsave
from swin_umamba.commands.train import main


@pytest.fixture
def folders(discs, tmp_path, monkeypatch, environment):
    """Images, and masks with 100 and 200 in the place of 1 and 2."""
    monkeypatch.chdir(tmp_path)
    for kind in ("scans", "outlines"):
        (tmp_path / kind).mkdir()
    for path in sorted((discs / "labelsTr").glob("*.png")):
        name = f"{path.stem.replace('_tr', '')}.png"
        image = imread(discs / "imagesTr" / f"{path.stem}_0000.png")
        imsave(tmp_path / "scans" / name, image, check_contrast=False)
        imsave(tmp_path / "outlines" / name, imread(path) * np.uint8(100), check_contrast=False)
    return tmp_path / "scans", tmp_path / "outlines"


@pytest.mark.slow
def test_folders_are_trained_on_and_the_data_set_is_used_again(folders, train_py, discs, tmp_path):
    done = train_py.run("scans", "outlines", *train_py.tiny, "--output", "out/run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "out" / "nnUNet_raw" / "Dataset501_scans"
    assert f"made {made.relative_to(tmp_path)}, which is trained on now" in done.stdout
    np.testing.assert_array_equal(imread(made / "labelsTr" / "disc0.png"), imread(discs / "labelsTr" / "disc_tr0.png"))
    metrics = json.loads((tmp_path / "out" / "run" / "metrics.json").read_text())
    assert metrics["settings"]["dataset"] == str(made)
    assert all(set(case["dsc"]) == {"label 100", "label 200"} for case in metrics["held_out"]["per_case"].values())
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    for more in ([], ["--resume"]):
        again = train_py.run("scans", "outlines", *train_py.tiny, "--output", "out/run", *more, cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert "made before" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    (tmp_path / "others").mkdir()
    other = train_py.run("scans", "others", "--output", "out/run", cwd=tmp_path)
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "was made of other folders than scans and others" in other.stderr


def _colour(images, masks):
    for path in masks.iterdir():
        imsave(path, np.stack([imread(path)] + 2 * [np.zeros_like(imread(path))], axis=-1), check_contrast=False)


def _patients(images, masks):
    for number, stem in enumerate(sorted(path.stem for path in images.iterdir())):
        for folder in (images, masks):
            (folder / f"{stem}.png").rename(folder / f"p{number // 2}_slice_{number}.png")


def _lonely(images, masks):
    for number in range(2):
        (masks / f"disc{number}.png").unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [(_colour, "masks hold colours"), (_patients, "names suggest 3 patients"), (_lonely, "has no mask")],
)
def test_what_is_left_to_decide_ends_in_one_line(folders, capsys, tmp_path, change, reason):
    change(*folders)
    assert main(["scans", "outlines"]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert "swin-umamba prepare folder scans outlines DST" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("dataset.json"))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--resume"], "there is no data set results/nnUNet_raw/Dataset501_scans"),
        (["--group-by", "disc"], "swin-umamba prepare folder scans outlines DST"),
    ],
)
def test_options_that_do_not_go_with_masks(folders, capsys, tmp_path, more, reason):
    assert main(["scans", "outlines", *more]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_data_set_has_its_masks(discs, capsys):
    assert main([str(discs), "masks"]) == 2
    error = capsys.readouterr().err
    assert "is a data set, which has its masks in labelsTr; leave masks out" in error
    assert error.count("\n") == 1
