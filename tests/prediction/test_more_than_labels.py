"""What a prediction gives beside label images: probabilities, uncertainty, statistics, JSON."""

from __future__ import annotations

import csv
import json

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from skimage.io import imread, imsave
from skimage.measure import label as connected
from swin_umamba.prediction.maps import uncertainty
from swin_umamba.prediction.statistics import gather, measure_labels

from .conftest import random_image


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def _write_volume(path, n_axes=3):
    array = np.stack([random_image(30, 44, seed=z) for z in range(2)])
    volume = SimpleITK.GetImageFromArray(array if n_axes == 3 else array[0])
    volume.SetSpacing((1.5, 0.9, 4.0)[:n_axes])
    volume.SetOrigin((-10.0, 20.0, 5.0)[:n_axes])
    volume.SetDirection((0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1) if n_axes == 3 else (1, 0, 0, 1))
    SimpleITK.WriteImage(volume, str(path))
    return array if n_axes == 3 else array[:1]


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("n_axes", [3, 2])
def test_maps_of_a_volume_lie_where_it_does(make_checkpoint, predict, images, tmp_path, ending, n_axes):
    _write_volume(images / f"v{ending}", n_axes)
    options = ["--checkpoint", make_checkpoint(reader="SimpleITKIO"), "--probability-images", "--uncertainty"]
    assert predict(images, tmp_path / "out", *options, "--probabilities")[0] == 0
    probabilities = np.load(tmp_path / "out" / "v.npz")["probabilities"]
    image = nibabel.load(tmp_path / "out" / "probability_images" / "v.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), probabilities.T)
    entropy = nibabel.load(tmp_path / "out" / "uncertainty" / "v.nii.gz")
    np.testing.assert_array_equal(np.asarray(entropy.dataobj).T, uncertainty(probabilities, has_regions=False))
    labels = SimpleITK.ReadImage(str(tmp_path / "out" / f"v{ending}"))
    for written in (image, entropy):
        assert written.get_data_dtype() == np.float32
        for index in ((0, 0, 0), (7, 3, 1), (43, 29, 0)):
            here = index[:n_axes]
            place = np.array([*labels.TransformIndexToPhysicalPoint(here), 0.0][:3])
            found = nibabel.affines.apply_affine(written.affine, (*here, 0)[:3])
            np.testing.assert_allclose(found[:n_axes], (place * [-1, -1, 1])[:n_axes], atol=1e-4)


@pytest.mark.parametrize(("unit", "size"), [("mm", 1), ("micron", 1000)])
def test_maps_lie_at_both_places_of_their_image_also_where_one_is_stretched(
    make_checkpoint, predict, images, tmp_path, unit, size
):
    scanner = np.array([[-1.0, 0, 0, -5], [0, 1.2, 0, 7], [0, 0, 3, 9], [0, 0, 0, 1]])
    scanner[:3] *= size
    atlas = scanner @ np.array([[1.3, 0.1, 0, 9], [0, 1.2, 0, 5], [0, 0, 1.1, 3], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(random_image(40, 30)[..., None].repeat(2, axis=2), scanner)
    image.set_sform(atlas, 4)
    image.set_qform(scanner, 1)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, images / "v.nii.gz")
    options = ["--checkpoint", make_checkpoint(reader="SimpleITKIO"), "--probability-images", "--uncertainty"]
    assert predict(images, tmp_path / "out", *options)[0] == 0
    for folder in ("probability_images", "uncertainty"):
        written = nibabel.load(tmp_path / "out" / folder / "v.nii.gz")
        assert (written.header["sform_code"], written.header["qform_code"]) == (4, 1)
        assert (written.header.get_xyzt_units()[0], written.get_data_dtype()) == (unit, np.float32)
        np.testing.assert_allclose(written.get_sform(), atlas, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(written.get_qform(), scanner, rtol=1e-5, atol=1e-3)


def test_maps_of_a_plain_image_are_pages(make_checkpoint, predict, images, tmp_path):
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    options = ["--checkpoint", make_checkpoint(), "--probability-images", "--uncertainty"]
    assert predict(images, tmp_path / "out", *options)[0] == 0
    probabilities = tifffile.imread(tmp_path / "out" / "probability_images" / "a.tif")
    assert (probabilities.shape, probabilities.dtype) == ((3, 40, 50), np.float32)
    np.testing.assert_array_equal(probabilities.argmax(axis=0), imread(tmp_path / "out" / "a.png"))
    entropy = tifffile.imread(tmp_path / "out" / "uncertainty" / "a.tif")
    np.testing.assert_array_equal(entropy, uncertainty(probabilities[:, None], has_regions=False)[0])
    assert not list((tmp_path / "out").glob("*.npz"))
    # They belong to a case, as its label image does.
    (tmp_path / "out" / "uncertainty" / "a.tif").unlink()
    assert "predicted 1;" in predict(images, tmp_path / "out", *options, "--skip-existing")[1]
    assert "predicted 0, 1 were" in predict(images, tmp_path / "out", *options, "--skip-existing")[1]


def test_maps_of_a_volume_that_is_turned_are_refused(make_checkpoint, predict, images, tmp_path):
    _write_volume(images / "v.nii.gz")
    checkpoint = make_checkpoint(reader="NibabelIOWithReorient")
    code, _, err = predict(images, tmp_path / "out", "--checkpoint", checkpoint, "--uncertainty")
    assert (code, "NibabelIOWithReorient has turned" in err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_uncertainty_is_the_share_of_the_largest_entropy():
    p = np.array([[1.0, 0.5, 1 / 3, 0.7], [0.0, 0.5, 1 / 3, 0.2], [0.0, 0.0, 1 / 3, 0.1]], np.float32)[:, None, None]
    entropy = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)) / np.log(3)
    np.testing.assert_allclose(uncertainty(p, False)[0, 0], [0, np.log(2) / np.log(3), 1, entropy], atol=1e-6)
    regions = np.array([[1.0, 0.5, 0.25], [0.0, 0.5, 1.0]], np.float32)[:, None, None]
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    np.testing.assert_allclose(uncertainty(regions, True)[0, 0], [0, 1, quarter / 2], atol=1e-6)


def _rows(out):
    with open(out / "statistics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("n_axes", "unit", "size"), [(3, "mm3", 1.5 * 0.9 * 4.0), (2, "mm2", 1.5 * 0.9)])
def test_statistics_of_a_volume_count_in_mm(make_checkpoint, predict, images, tmp_path, n_axes, unit, size):
    array = _write_volume(images / "v.nii.gz", n_axes)
    checkpoint = make_checkpoint(reader="SimpleITKIO")
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint, "--statistics")[0] == 0
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "out" / "v.nii.gz")))
    labels = labels if n_axes == 3 else labels[None]
    rows = _rows(tmp_path / "out")
    assert [(row["case"], row["label"], row["unit"]) for row in rows] == [("v", "rim", unit), ("v", "core", unit)]
    for value, row in enumerate(rows, start=1):
        mask = labels == value
        assert int(row["pixels"]) == mask.sum()
        assert float(row["size"]) == pytest.approx(mask.sum() * size)
        assert int(row["structures"]) == connected(mask, connectivity=3).max()
        mean = array[mask].mean() if mask.any() else None
        assert row["mean c0"] == "" if mean is None else float(row["mean c0"]) == pytest.approx(mean, rel=1e-6)
    assert any(int(row["pixels"]) > 0 for row in rows)


def test_channels_of_one_name_have_a_column_each():
    """nnU-Net calls each channel of a colour image rgb_to_0_1."""
    image = np.arange(3, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 5))
    channels = {"0": "rgb_to_0_1", "1": "T1", "2": "rgb_to_0_1"}
    labels = np.ones((1, 4, 5), np.uint8)
    (row,) = measure_labels("a", labels, image, {"spacing": (999, 1, 1)}, {"rim": 1}, channels)
    assert {name: row[name] for name in list(row)[-3:]} == {
        **{"mean rgb_to_0_1 (0)": "0", "mean T1": "1", "mean rgb_to_0_1 (2)": "2"}
    }


def test_cases_that_were_measured_with_other_columns_are_kept(tmp_path):
    """As by a version that had one column for all channels of one name."""
    folder, target = tmp_path / "statistics", tmp_path / "statistics.csv"
    folder.mkdir()
    gather(folder, target)
    assert target.read_text() == "case,label\n"
    (folder / "a.csv").write_text("case,label,mean c\na,rim,1\n")
    (folder / "b.csv").write_text("case,label,mean c (0),mean c (1)\nb,rim,2,3\n")
    gather(folder, target)
    assert target.read_text() == "case,label,mean c,mean c (0),mean c (1)\na,rim,1,,\nb,rim,,2,3\n"


def test_statistics_of_parts_are_those_of_one_run(make_checkpoint, predict, images, tmp_path):
    for number in range(3):
        imsave(images / f"{number}.png", random_image(40, 50, 3, seed=number), check_contrast=False)
    options = ["--checkpoint", make_checkpoint(n_channels=3), "--statistics"]
    assert predict(images, tmp_path / "whole", *options)[0] == 0
    for part in ("2/2", "1/2"):
        assert predict(images, tmp_path / "parts", *options, "--part", part)[0] == 0
    rows = _rows(tmp_path / "whole")
    assert rows == _rows(tmp_path / "parts")
    assert [row["case"] for row in rows] == ["0", "0", "1", "1", "2", "2"]
    assert {row["unit"] for row in rows} == {"px"}
    assert all(row["size"] == row["pixels"] for row in rows)
    assert {"mean c0", "mean c1", "mean c2"} <= rows[0].keys()


def test_json_says_what_became_of_each_image(make_checkpoint, predict, images, tmp_path):
    for name in ("a", "b"):
        imsave(images / f"{name}.png", random_image(40, 50), check_contrast=False)
    (images / "text.png").write_text("no image")
    options = ["--checkpoint", make_checkpoint(), "--json", "--precision", "float32"]
    code, out, err = predict(images, tmp_path / "out", *options)
    said = json.loads(out)
    assert (code, said["predicted"], said["skipped"], list(said["failed"])) == (1, ["a", "b"], [], ["text"])
    assert said["failed"]["text"].startswith("text.png cannot be read")
    assert (said["output"], said["device"], said["precision"]) == (str(tmp_path / "out"), "cpu", "float32")
    assert said["seconds"] > 0
    assert "1 of 3 images could not be predicted" in err
    (images / "text.png").unlink()
    code, out, _ = predict(images, tmp_path / "out", *options, "--skip-existing")
    assert (code, json.loads(out)["skipped"]) == (0, ["a", "b"])
