"""Names of folders and files that look like channels of nnU-Net's are names of images all the same."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from PIL import Image
from swin_umamba.commands import cli
from swin_umamba.datasets import check_cases, open_raw_dataset

from .files import DX, US, make_object, make_stack, random_values, save

NUMBERED = ("scan_0000", "scan_0001", "scan", "b_0000")


def _make_series(folder):
    """Folders of series, and the values of each."""
    wanted = {name: random_values(2 + number) for number, name in enumerate(NUMBERED)}
    for name, values in wanted.items():
        save(folder / name, make_stack(values))
    return wanted


@pytest.mark.parametrize("dicom_seg", [(), ("--dicom-seg",)], ids=["images", "seg"])
def test_series_in_numbered_folders_are_predicted_by_their_names(tmp_path, make_checkpoint, predict, dicom_seg):
    wanted = _make_series(tmp_path / "in")
    checkpoint = make_checkpoint(reader="SimpleITKIO", spacing=(0.9, 0.7))
    code, _out, err = predict(tmp_path / "in", tmp_path / "out", "--checkpoint", checkpoint, *dicom_seg)
    assert (code, err) == (0, "")
    for name, values in wanted.items():
        assert nibabel.load(tmp_path / "out" / f"{name}.nii.gz").shape == values.shape[::-1]
        assert (tmp_path / "out" / f"{name}.dcm").exists() == bool(dicom_seg)


@pytest.mark.parametrize("numbers", [(0,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_numbered_files_are_no_channels(tmp_path, make_checkpoint, predict, numbers, n_channels):
    names = [f"x_{number:04d}" for number in numbers]
    (tmp_path / "in").mkdir()
    for name in names:
        make_object(random_values(1, dtype=np.uint8)[0], DX, "DX").save_as(
            tmp_path / "in" / f"{name}.dcm", enforce_file_format=True
        )
    checkpoint = make_checkpoint(n_channels=n_channels)
    code, out, _err = predict(tmp_path / "in", tmp_path / "out", "--checkpoint", checkpoint, "--json")
    said = json.loads(out)
    if n_channels == 1:
        assert (code, said["predicted"]) == (0, names)
    else:
        assert (code, sorted(said["failed"])) == (1, names)
        assert f"it has 1 channels, the model was trained on {n_channels}" in said["failed"]["x_0000"]


def test_a_film_in_colour_is_one_image_of_three_channels(tmp_path, make_checkpoint, predict):
    frames = np.random.default_rng(0).integers(0, 255, (4, 24, 28, 3), dtype=np.uint8)
    ds = make_object(frames[0], US, "US", NumberOfFrames=4, PixelData=frames.tobytes())
    save(tmp_path / "in", [ds])
    code, out, _ = predict(tmp_path / "in", tmp_path / "a", "--checkpoint", make_checkpoint(), "--json")
    assert (code, list(json.loads(out)["failed"])) == (1, ["f0000"])
    checkpoint = make_checkpoint(n_channels=3)
    code, _, _ = predict(tmp_path / "in", tmp_path / "b", "--checkpoint", checkpoint)
    assert code == 0
    assert nibabel.load(tmp_path / "b" / "f0000.nii.gz").shape == (28, 24, 4)


def test_no_data_set_is_made_of_films_in_colour(tmp_path, capsys):
    frames = np.random.default_rng(0).integers(0, 255, (4, 24, 28, 3), dtype=np.uint8)
    save(tmp_path / "in", [make_object(frames[0], US, "US", NumberOfFrames=4, PixelData=frames.tobytes())])
    (tmp_path / "masks").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.ones((28, 24, 4), np.uint8), np.eye(4)), tmp_path / "masks" / "f0000_0000.nii")
    arguments = [str(tmp_path / name) for name in ("in", "masks", "Dataset501_X")]
    assert cli.main(["prepare", "folder", *arguments, "--skip-unpaired"]) == 2
    assert "has several slices or frames in colour, of which no data set is made" in capsys.readouterr().err


def test_a_data_set_of_series_in_numbered_folders(tmp_path):
    wanted = _make_series(tmp_path / "scans")
    (tmp_path / "masks").mkdir()
    for number, (name, values) in enumerate(wanted.items(), start=1):
        mask = np.zeros(values.shape[::-1], np.uint8)
        mask[:number, 0, 0] = 1
        affine = np.diag([-0.7, -0.9, 2.5, 1.0])
        affine[:3, 3] = 20, -30, 40
        nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "masks" / f"{name}_seg.nii.gz")
    folder = tmp_path / "Dataset501_Scans"
    assert cli.main(["prepare", "folder", str(tmp_path / "scans"), str(tmp_path / "masks"), str(folder)]) == 0
    dataset = open_raw_dataset(folder)
    check_cases(dataset, dataset.training)
    assert sorted(case.identifier for case in dataset.training) == sorted(wanted)
    for number, (name, values) in enumerate(wanted.items(), start=1):
        image = nibabel.load(folder / "imagesTr" / f"{name}_0000.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj).T, values)
        assert np.asarray(nibabel.load(folder / "labelsTr" / f"{name}.nii.gz").dataobj).sum() == number


def test_masks_are_not_read_from_dicom(tmp_path, capsys):
    for folder in ("scans", "masks"):
        save(tmp_path / folder / "p0", make_stack(random_values()))
    arguments = [str(tmp_path / name) for name in ("scans", "masks", "Dataset501_X")]
    assert cli.main(["prepare", "folder", *arguments]) == 2
    assert f"{tmp_path / 'masks'} holds DICOM, which masks are not read from; store" in capsys.readouterr().err


def test_masks_as_dcm2niix_would_store_them(tmp_path):
    values = random_values()
    save(tmp_path / "scans" / "p0", make_stack(values))
    inside = np.random.default_rng(0).random(values.shape) < 0.4
    affine = np.diag([-0.7, -0.9, 2.5, 1.0])
    affine[:3, 3] = 20, -30, 40
    # From the lowest row to the highest.
    mask = nibabel.as_closest_canonical(nibabel.Nifti1Image(inside.astype(np.uint8).T, affine))
    (tmp_path / "masks").mkdir()
    nibabel.save(mask, tmp_path / "masks" / "p0.nii.gz")
    arguments = [str(tmp_path / name) for name in ("scans", "masks", "Dataset501_X")]
    assert cli.main(["prepare", "folder", *arguments]) == 0
    image = nibabel.load(tmp_path / "Dataset501_X" / "imagesTr" / "p0_0000.nii.gz")
    labels = nibabel.load(tmp_path / "Dataset501_X" / "labelsTr" / "p0.nii.gz")
    np.testing.assert_allclose(labels.affine, image.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, values)
    np.testing.assert_array_equal(np.asarray(labels.dataobj).T, inside)


@pytest.mark.parametrize("names", [("x_0000", "x_0001", "y_0000"), ("x_0000", "y_0000")], ids=["frames", "channels"])
def test_the_number_of_a_channel_is_left_out_where_all_images_have_it(tmp_path, names):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names, start=1):
            values = np.full((8, 8), number, np.uint8) if folder == "images" else np.eye(8, dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / folder / f"{name}.png")
    folder = tmp_path / "Dataset501_X"
    assert cli.main(["prepare", "folder", str(tmp_path / "images"), str(tmp_path / "masks"), str(folder)]) == 0
    cases = names if "x_0001" in names else ("x", "y")
    for number, case in enumerate(cases, start=1):
        assert (np.asarray(Image.open(folder / "imagesTr" / f"{case}_0000.png")) == number).all()
        assert (folder / "labelsTr" / f"{case}.png").exists()
    dataset = open_raw_dataset(folder)
    assert sorted(case.identifier for case in dataset.training) == sorted(cases)
