"""Dataset704_Endovis17 from the challenge's archives and from U-Mamba's release."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from skimage import io


def test_challenge(endovis, tmp_path, tools):
    shown = tools.prepared("endoscopy", endovis, tmp_path / "raw")
    folder = tmp_path / "raw" / "Dataset704_Endovis17"
    assert "training images │ 6 │ 1800" in shown
    assert "test images │ 4 │ 1200" in shown
    description = json.loads((folder / "dataset.json").read_text())
    assert description["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    assert description["labels"]["Ultrasound Probe"] == 7


def test_frames_are_reduced_to_a_third(endovis, tmp_path, tools):
    tools.prepared("endoscopy", endovis, tmp_path / "raw")
    tools.prepared("endoscopy", endovis, tmp_path / "full", "--full-size")
    reduced, full = (tmp_path / name / "Dataset704_Endovis17" for name in ("raw", "full"))
    frame = endovis / "instrument_5_training" / "instrument_dataset_5" / "left_frames" / "frame002.png"
    image = "imagesTr/instrument_dataset_5_frame002_0000.png"
    assert (full / image).read_bytes() == frame.read_bytes()
    whole = io.imread(frame).astype(float)
    expected = np.zeros((4, 7, 3))
    for y, x in np.ndindex(4, 7):
        expected[y, x] = np.rint(whole[3 * y : 3 * y + 3, 3 * x : 3 * x + 3].mean(axis=(0, 1)))
    np.testing.assert_array_equal(io.imread(reduced / image), expected)
    for label in ("labelsTr/instrument_dataset_1_frame001.png", "labelsTs/instrument_dataset_9_frame226.png"):
        np.testing.assert_array_equal(io.imread(reduced / label), io.imread(full / label)[1::3, 1::3])


def test_sizes_are_not_mixed(endovis, tmp_path, tools):
    tools.prepared("endoscopy", endovis, tmp_path / "raw")
    message = tools.refused("endoscopy", endovis, tmp_path / "raw", "--full-size")
    assert 'was prepared otherwise, {"layout": "EndoVis 2017 challenge", "frames_reduced_by": 3}' in message
    (tmp_path / "raw" / "Dataset704_Endovis17" / "preparation.json").write_text("{")
    assert "cannot be read" in tools.refused("endoscopy", endovis, tmp_path / "raw")


def test_frames_that_have_no_third_are_refused(endovis, tmp_path, tools):
    for path in endovis.rglob("instrument_dataset_5/**/*.png"):
        tools.write_image(path, io.imread(path)[:, :20])
    message = tools.refused("endoscopy", endovis, tmp_path / "raw")
    assert "(12, 20), which is no multiple of 3" in message
    assert "--full-size" in message
    tools.prepared("endoscopy", endovis, tmp_path / "raw", "--full-size")


def test_full_size_is_for_endoscopy(cellseg, tmp_path, tools):
    assert "--full-size is for endoscopy" in tools.refused("microscopy", cellseg, tmp_path / "raw", "--full-size")


def test_training_masks_are_merged_into_types(endovis, tmp_path, tools):
    tools.prepared("endoscopy", endovis, tmp_path / "raw", "--full-size")
    labels = tmp_path / "raw" / "Dataset704_Endovis17" / "labelsTr"
    # Rows 0-3 are Prograsp Forceps, 3-6 Bipolar Forceps (later in the order of names), 6-9 Other (never on top).
    first = io.imread(labels / "instrument_dataset_1_frame001.png")
    expected = np.zeros((12, 21), dtype=np.uint8)
    expected[6:10, 1:10] = 7
    expected[0:4, 1:10] = 2
    expected[3:7, 1:10] = 1
    np.testing.assert_array_equal(first, expected)
    fifth = io.imread(labels / "instrument_dataset_5_frame000.png")
    expected = np.zeros((12, 21), dtype=np.uint8)
    expected[0:4, 0:9] = 3
    expected[3:7, 0:9] = 4
    np.testing.assert_array_equal(fifth, expected)


def test_test_types_are_kept(endovis, tmp_path, tools):
    tools.prepared("endoscopy", endovis, tmp_path / "raw", "--full-size")
    gt = endovis / "instrument_2017_test/instrument_2017_test/instrument_dataset_9/gt/TypeSegmentation/frame226.png"
    label = tmp_path / "raw" / "Dataset704_Endovis17" / "labelsTs" / "instrument_dataset_9_frame226.png"
    np.testing.assert_array_equal(io.imread(label), io.imread(gt))


def test_test_frames_without_ground_truth(endovis, tmp_path, tools):
    """One unlabelled frame is left out; without any ground truth the frames alone are prepared."""
    gt = endovis / "instrument_2017_test"
    next(gt.rglob("TypeSegmentation/frame226.png")).unlink()
    shown = tools.prepared("endoscopy", endovis, tmp_path / "raw")
    assert "left out, as they have no ground truth: 1 test frames" in shown
    assert "test images │ 3 │ 1200" in shown
    shutil.rmtree(gt)
    shown = tools.prepared("endoscopy", endovis, tmp_path / "raw2")
    assert "so there is no labelsTs" in shown
    assert "test images │ 4 │ 1200" in shown


def test_release_is_copied(tmp_path, tools):
    folder, rng = tmp_path / "Dataset704_Endovis17", np.random.default_rng(0)
    for part, case in (("Tr", "a"), ("Tr", "b"), ("Ts", "c")):
        tools.write_image(
            folder / f"images{part}" / f"{case}_0000.png", rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
        )
        tools.write_image(folder / f"labels{part}" / f"{case}.png", rng.integers(0, 8, (9, 9)).astype(np.uint8))
    tools.prepared("endoscopy", folder, tmp_path / "raw")
    assert tools.copied(tmp_path / "raw" / "Dataset704_Endovis17") == tools.contents(folder)
    assert "--full-size is for the challenge" in tools.refused("endoscopy", folder, tmp_path / "raw2", "--full-size")
    tools.write_image(folder / "labelsTr" / "a.png", np.full((9, 9), 8, dtype=np.uint8))
    assert "largest value 8" in tools.refused("endoscopy", folder, tmp_path / "raw2")


def replace(endovis, pattern, array, tools):
    tools.write_image(next(endovis.rglob(pattern)), array)


@pytest.mark.parametrize(
    ("pattern", "array", "message"),
    [
        ("left_frames/frame000.png", np.zeros((12, 21), dtype=np.uint8), "wanted is an RGB image"),
        ("left_frames/frame000.png", np.zeros((15, 21, 3), dtype=np.uint8), "its mask"),
        ("TypeSegmentation/frame225.png", np.full((12, 21), 8, dtype=np.uint8), "largest value 8"),
        ("TypeSegmentation/frame225.png", np.eye(3, dtype=np.uint8)[np.zeros((12, 21), int)], "one channel"),
    ],
)
def test_wrong_images_are_refused(endovis, tmp_path, tools, pattern, array, message):
    replace(endovis, pattern, array, tools)
    assert message in tools.refused("endoscopy", endovis, tmp_path / "raw")
    assert not list(tmp_path.glob("raw/*/dataset.json"))


def test_missing_and_unknown_masks_are_refused(endovis, tmp_path, tools):
    mask = next(endovis.rglob("Other_labels/frame001.png"))
    content = mask.read_bytes()
    mask.unlink()
    assert "frame001.png has no mask in" in tools.refused("endoscopy", endovis, tmp_path / "raw")
    mask.write_bytes(content)
    mask.parent.rename(mask.parent.with_name("Suction_labels"))
    message = tools.refused("endoscopy", endovis, tmp_path / "raw")
    assert "Suction_labels is called after no known instrument; known are bipolar_forceps" in message


def test_one_video_twice_is_refused(endovis, tmp_path, tools):
    shutil.copytree(endovis / "instrument_1_training", endovis / "copy")
    assert "holds the video 1 twice" in tools.refused("endoscopy", endovis, tmp_path / "raw")
