"""What is drawn of a case."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from PIL import Image
from skimage.io import imsave
from swin_umamba.figures import Example, PanelRow, class_colour, draw_example, draw_panel, find_reader, read_example
from swin_umamba.figures.overlays import LARGEST_SIDE, SMALLEST_SIDE, find_mistakes


def _write(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
    if path.suffix == ".png":
        imsave(path, array, check_contrast=False)
    else:
        volume = SimpleITK.GetImageFromArray(array)
        volume.SetSpacing(spacing[::-1])
        SimpleITK.WriteImage(volume, str(path))
    return path


def _example(height: int = 40, width: int = 60, pixel_aspect: float = 1.0) -> Example:
    labels = np.zeros((height, width), dtype=int)
    labels[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    picture = np.full((height, width, 3), 0.5)
    return Example({"image": picture}, labels, labels, pixel_aspect)


def test_a_colour_image_is_one_picture(tmp_path):
    colours = np.zeros((5, 6, 3), dtype=np.uint8)
    colours[..., 0] = 255
    image = _write(tmp_path / "a_0000.png", colours)
    label = _write(tmp_path / "a.png", np.ones((5, 6), dtype=np.uint8))
    example = read_example([image], label, label, ["R", "G", "B"], NaturalImage2DIO())
    assert list(example.channels) == ["image"]
    assert np.array_equal(example.channels["image"], colours / 255.0)
    assert example.slice_index is None


def test_the_reader_is_nnunets_for_the_files(tmp_path):
    description = {"file_ending": ".png", "channel_names": {"0": "T1"}, "labels": {"background": 0, "rim": 1}}
    image = _write(tmp_path / "a_0000.png", np.zeros((5, 6), dtype=np.uint8))
    assert isinstance(find_reader(description, image), NaturalImage2DIO)
    volume = _write(tmp_path / "a_0000.mha", np.zeros((2, 5, 6), dtype=np.uint8))
    assert isinstance(find_reader({**description, "file_ending": ".mha"}, volume), SimpleITKIO)


def test_modalities_are_pictures_of_their_own_and_the_fullest_slice_is_shown(tmp_path):
    label, prediction = np.zeros((4, 5, 6), dtype=np.uint8), np.zeros((4, 5, 6), dtype=np.uint8)
    label[1, 0, 0] = label[2, :2] = 1
    prediction[0] = 2
    rng = np.random.default_rng(0)
    spacing = (5.0, 2.0, 1.0)
    images = [_write(tmp_path / f"a_000{i}.nii.gz", rng.normal(size=(4, 5, 6)), spacing) for i in range(3)]
    files = [_write(tmp_path / f"{name}.nii.gz", array, spacing) for name, array in (("l", label), ("p", prediction))]
    example = read_example(images, *files, ["T1", "T2", "T2"], SimpleITKIO())
    assert list(example.channels) == ["T1", "T2 (1)", "T2 (2)"]
    assert example.slice_index == 2
    assert np.array_equal(example.reference, label[2])
    assert np.array_equal(example.prediction, prediction[2])
    assert example.pixel_aspect == 2


def test_without_reference_labels_the_prediction_chooses_the_slice(tmp_path):
    empty, prediction = np.zeros((4, 5, 6), dtype=np.uint8), np.zeros((4, 5, 6), dtype=np.uint8)
    prediction[3, 1, 1] = 1
    files = [
        _write(tmp_path / f"{name}.nii.gz", array)
        for name, array in (("a_0000", empty.astype(np.float32)), ("l", empty), ("p", prediction))
    ]
    assert read_example(files[:1], *files[1:], ["T1"], SimpleITKIO()).slice_index == 3


def test_a_prediction_of_another_size_is_refused(tmp_path):
    files = [
        _write(tmp_path / name, np.zeros(shape, dtype=np.uint8))
        for name, shape in (("a_0000.png", (5, 6)), ("l.png", (5, 6)), ("p.png", (5, 7)))
    ]
    with pytest.raises(ValueError, match="must have one size"):
        read_example(files[:1], *files[1:], ["T1"], NaturalImage2DIO())


@given(height=st.integers(1, 900), width=st.integers(1, 900), pixel_aspect=st.sampled_from([1.0, 0.5, 3.0]))
def test_pictures_have_a_good_size_and_the_right_shape(height, width, pixel_aspect):
    channels, labels = draw_example(_example(height, width, pixel_aspect), {"a": (1,)})
    shape = channels["image"].shape
    assert all(picture.shape == shape for picture in (*channels.values(), *labels.values()))
    shown_height, shown_width = shape[:2]
    assert SMALLEST_SIDE <= max(shown_height, shown_width) <= max(LARGEST_SIDE, 2 * SMALLEST_SIDE)
    wanted = height * pixel_aspect / width
    # Sides are whole pixels, and at least one.
    assert (shown_height - 1) / (shown_width + 1) <= wanted or shown_height == 1
    assert wanted <= (shown_height + 1) / max(shown_width - 1, 0.5) or shown_width == 1


def test_classes_have_their_colours_and_the_rest_is_the_image():
    example = _example(400, 400)
    picture = draw_example(example, {"a": (2,), "b": (1,)})[1]["reference"]
    colour = np.round(255 * np.array(to_rgb(class_colour(1))))
    assert np.array_equal(picture[100, 100], colour)
    assert np.array_equal(picture[10, 10], [128, 128, 128])
    inside = picture[200, 200].astype(float)
    assert np.abs(inside - (0.45 * 128 + 0.55 * colour)).max() <= 1


def test_many_classes_carry_numbers_and_few_do_not():
    example = _example(400, 400)
    few, many = ({f"c{i}": (i + 1,) for i in range(count)} for count in (7, 8))
    assert np.array_equal(draw_example(example, few)[1]["prediction"][200, 195:205].min(axis=0), _tint(0))
    number = draw_example(example, many)[1]["prediction"][190:210, 190:210].reshape(-1, 3)
    assert number.min() == 0
    assert (number == 255).all(axis=1).any()


def _tint(index: int) -> np.ndarray:
    return np.round(0.45 * 128 + 0.55 * 255 * np.array(to_rgb(class_colour(index))))


def test_an_empty_label_image_is_the_image():
    example = dataclasses.replace(_example(), prediction=np.zeros((40, 60), dtype=int))
    channels, labels = draw_example(example, {f"c{i}": (i + 1,) for i in range(8)})
    assert np.array_equal(channels["image"], labels["prediction"])


def test_the_panel_names_its_columns_and_rows(tmp_path):
    def panel(channel: str, place: str) -> bytes:
        example = dataclasses.replace(_example(), channels={channel: _example().channels["image"]})
        rows = [PanelRow(example, f"{place}: $a_1\nDSC 0.1"), PanelRow(example, "best: b")]
        draw_panel(tmp_path / "panel.png", rows, {"<a> $x": (1,)}, "title")
        assert Image.open(tmp_path / "panel.png").size[0] == 3 * 3 * 120
        return (tmp_path / "panel.png").read_bytes()

    first = panel("T1", "worst")
    assert panel("T1", "worst") == first
    assert panel("T2", "worst") != first
    assert panel("T1", "median") != first


def test_settings_that_others_left_behind_do_not_change_the_panel(tmp_path):
    def panel(name: str) -> bytes:
        draw_panel(tmp_path / name, [PanelRow(_example(), "case")], {"a": (1,)}, "title")
        return (tmp_path / name).read_bytes()

    usual = panel("usual.png")
    with matplotlib.rc_context({"font.size": 30, "axes.titlesize": 40, "axes.facecolor": "red"}):
        assert panel("changed.png") == usual
        assert matplotlib.rcParams["font.size"] == 30


def test_mistakes_are_told_apart_and_what_is_ignored_is_none():
    reference, prediction = np.array([[0, 1, 1, 2, 9]]), np.array([[1, 0, 2, 2, 1]])
    classes = {"a": (1,), "b": (2,)}
    assert find_mistakes(reference, prediction, classes, 9).tolist() == [[1, 2, 3, 0, 0]]
    regions = {"whole": (1, 2), "core": (2,)}
    assert find_mistakes(reference, prediction, regions, 9).tolist() == [[1, 2, 1, 0, 0]]
