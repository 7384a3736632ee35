"""Dataset703_NeurIPSCell from the challenge's archives and from U-Mamba's release."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import io
from swin_umamba.common.errors import UserError
from swin_umamba.evaluation import evaluate_folders
from swin_umamba.prepare.microscopy import interior_and_boundary, to_rgb


def plain_interior_and_boundary(instances):
    height, width = instances.shape

    def around(y, x):
        sides = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        return [(i, j) for i, j in sides if 0 <= i < height and 0 <= j < width]

    edge = np.zeros(instances.shape, dtype=bool)
    for y, x in np.ndindex(height, width):
        edge[y, x] = instances[y, x] > 0 and any(instances[p] != instances[y, x] for p in around(y, x))
    labels = np.zeros(instances.shape, dtype=np.uint8)
    for y, x in np.ndindex(height, width):
        if edge[y, x] or any(edge[p] for p in around(y, x)):
            labels[y, x] = 2
    inside = {tuple(map(int, p)) for p in np.argwhere((instances > 0) & (labels == 0))}
    while inside:
        part, new = set(), {inside.pop()}
        while new:
            part |= new
            new = {q for p in new for q in around(*p) if q in inside}
            inside -= new
        if len(part) >= 16:
            for p in part:
                labels[p] = 1
    return labels


@settings(max_examples=60, deadline=None)
@given(
    blocks=hnp.arrays(np.int32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 3)),
    size=st.sampled_from([1, 4, 7, 8]),
)
def test_interior_and_boundary_agree_with_plain_implementation(blocks, size):
    instances = np.kron(blocks, np.ones((size, size), dtype=np.int32))
    np.testing.assert_array_equal(interior_and_boundary(instances), plain_interior_and_boundary(instances))


def test_touching_cells_are_parted():
    instances = np.zeros((30, 40), dtype=np.int32)
    instances[5:20, 5:18], instances[5:20, 18:31] = 1, 70000
    labels = interior_and_boundary(instances)
    assert (labels[12, 16:20] == 2).all()
    assert labels[12, 10] == labels[12, 25] == 1
    # Widened by one pixel to each side.
    assert labels[4, 10] == labels[6, 10] == 2
    assert labels[3, 10] == 0


def test_images_become_rgb_of_8_bits():
    ramp = np.zeros((10, 101), dtype=np.uint16)
    ramp[1:] = np.arange(101) * 100 + 1000
    rgb = to_rgb(ramp)
    assert rgb.shape == (10, 101, 3)
    assert rgb.dtype == np.uint8
    # 1st and 99th percentile of what is not 0: values 1100 and 10900.
    assert rgb[5, 0].tolist() == rgb[5, 1].tolist() == [0, 0, 0]
    assert rgb[5, 99].tolist() == rgb[5, 100].tolist() == [255, 255, 255]
    assert rgb[5, 50, 0] == int((6000 - 1100) / (10900 - 1100) * 255)
    assert not rgb[0].any()


def test_channels():
    rng = np.random.default_rng(0)
    image = rng.integers(1, 256, (8, 8, 4)).astype(np.uint8)
    np.testing.assert_array_equal(to_rgb(image), to_rgb(image[..., :3]))
    np.testing.assert_array_equal(to_rgb(image[..., :1]), to_rgb(image[..., 0]))
    black_and_flat = np.dstack([np.zeros((4, 4)), np.full((4, 4), 7), np.full((4, 4), 900)]).astype(np.uint16)
    assert to_rgb(black_and_flat)[0, 0].tolist() == [0, 7, 255]
    for shape in ((4, 4, 2), (4, 4, 5), (2, 4, 4, 3)):
        with pytest.raises(UserError, match="wanted are 1, 3 or 4 channels"):
            to_rgb(np.zeros(shape, dtype=np.uint8))


def test_challenge(cellseg, tmp_path, tools):
    shown = tools.prepared("microscopy", cellseg, tmp_path / "raw")
    folder = tmp_path / "raw" / "Dataset703_NeurIPSCell"
    assert "training images │ 3 │ 1000" in shown
    assert "test images │ 1 │ 101" in shown
    assert json.loads((folder / "dataset.json").read_text())["labels"] == {
        "background": 0,
        "interior": 1,
        "boundary": 2,
    }
    for number in (1, 2, 3):
        assert io.imread(folder / "imagesTr" / f"cell_0000{number}_0000.png").shape == (80, 100, 3)
        assert set(np.unique(io.imread(folder / "labelsTr" / f"cell_0000{number}.png"))) == {0, 1, 2}
    numbered = folder / "labelsVal-instance-mask" / "cell_00001_label.tiff"
    assert numbered.read_bytes() == (cellseg / "Tuning" / "labels" / "cell_00001_label.tiff").read_bytes()


def test_numbered_cells_are_what_the_evaluation_wants(cellseg, tmp_path, tools):
    """Predictions equal to the test labels find the cells, once both are prepared."""
    tools.prepared("microscopy", cellseg, tmp_path / "raw")
    folder = tmp_path / "raw" / "Dataset703_NeurIPSCell"
    evaluation = evaluate_folders(folder / "labelsVal-instance-mask", folder / "labelsTs", "cells")
    counts = evaluation.cases["cell_00001"].counts
    # 4 × 5 cells of 18 × 18 pixels, whose interiors of 14 × 14 have an IoU of 0.6 with them; the first row and column
    # touch the image's border.
    assert counts["reference_cells"] == counts["predicted_cells"] == counts["true_positives"] == 12


def test_release_is_copied(tmp_path, tools):
    folder, rng = tmp_path / "Dataset703_NeurIPSCell", np.random.default_rng(0)
    for part, case in (("Tr", "a"), ("Tr", "b"), ("Ts", "c")):
        tools.write_image(
            folder / f"images{part}" / f"{case}_0000.png", rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
        )
    for case in "ab":
        tools.write_image(folder / "labelsTr" / f"{case}.png", rng.integers(0, 3, (9, 9)).astype(np.uint8))
    tools.write_image(folder / "labelsVal-instance-mask" / "c_label.tiff", np.eye(9, dtype=np.uint16))
    shown = tools.prepared("microscopy", folder, tmp_path / "raw")
    assert "imagesTs has no labelsTs" in shown
    assert tools.copied(tmp_path / "raw" / "Dataset703_NeurIPSCell") == tools.contents(folder)


def test_validation_set_of_a_release_is_the_test_set(tmp_path, tools):
    folder, rng = tmp_path / "Dataset703_NeurIPSCell", np.random.default_rng(0)
    for part, case in (("Tr", "a"), ("Val", "b"), ("Ts", "c")):
        image = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
        tools.write_image(folder / f"images{part}" / f"{case}_0000.png", image)
        if part != "Ts":
            tools.write_image(folder / f"labels{part}" / f"{case}.png", np.eye(9, dtype=np.uint8))
    shown = tools.prepared("microscopy", folder, tmp_path / "raw")
    assert "imagesVal is taken as the test set, imagesTs is left out" in shown
    assert "test images │ 1 │ 101" in shown
    result = tools.copied(tmp_path / "raw" / "Dataset703_NeurIPSCell")
    assert sorted(result) == ["imagesTr/a_0000.png", "imagesTs/b_0000.png", "labelsTr/a.png", "labelsTs/b.png"]


def test_without_tuning_images(cellseg, tmp_path, tools):
    (cellseg / "Tuning").rename(tmp_path / "elsewhere")
    assert "Tuning is missing" in tools.prepared("microscopy", cellseg, tmp_path / "raw")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("labels/cell_00001_label.tiff", np.zeros((80, 101), dtype=np.uint16), "(80, 101)"),
        ("labels/cell_00001_label.tiff", np.zeros((80, 100), dtype=np.float32), "wanted are numbered cells"),
        ("images/cell_00003.tif", np.zeros((80, 100, 7), dtype=np.uint16), "wanted are 1, 3 or 4 channels"),
    ],
)
def test_wrong_images_are_refused(cellseg, tmp_path, tools, name, array, message):
    tools.write_image(cellseg / "Training-labeled" / name, array)
    shown = tools.refused("microscopy", cellseg, tmp_path / "raw")
    assert message in shown
    assert name.split("/")[1] in shown
    assert not list(tmp_path.glob("raw/*/dataset.json"))


def test_names_are_checked(cellseg, tmp_path, tools):
    label = cellseg / "Training-labeled" / "labels" / "cell_00001_label.tiff"
    label.rename(label.with_name("cell_00001.tiff"))
    assert "wanted is CASE_label.tiff" in tools.refused("microscopy", cellseg, tmp_path / "raw")
    (label.with_name("cell_00001.tiff")).unlink()
    assert "have no label, such as" in tools.refused("microscopy", cellseg, tmp_path / "raw")
