"""What predict writes beside labels, computed anew: of the weights by plain torch, and of its own files."""

from __future__ import annotations

import csv
import itertools

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from skimage.io import imread, imsave
from swin_umamba.prediction import predict_arrays

from .conftest import PATCH, nnUNetTrainerTiny, random_image

EVERYTHING = ("--probabilities", "--probability-images", "--uncertainty", "--statistics", "--precision", "float32")


@pytest.fixture
def folds(make_checkpoint):
    """A function that makes a model of two folds and returns its folder and files."""

    def make(**options):
        files = [make_checkpoint(f"model/fold_{fold}/checkpoint_final.pth", seed=fold, **options) for fold in range(2)]
        return files[0].parent.parent, files

    return make


def _mean_logits(files, image):
    """Of all folds and mirror images, of one image that is as large as a patch."""
    x = torch.from_numpy((image - image.mean()) / image.std()).float()[None, None]
    logits = []
    for file in files:
        network = nnUNetTrainerTiny.build_network_architecture(None, None, 1, 3, False).eval()
        network.load_state_dict(torch.load(file, weights_only=False)["network_weights"], strict=False)
        for n in range(3):
            for axes in itertools.combinations((2, 3), n):
                with torch.no_grad():
                    logits.append(network(x.flip(axes)).flip(axes)[0].double().numpy())
    assert len(logits) == 8
    return np.mean(logits, axis=0)


def _entropy(p):
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=0) / np.log(len(p))


def test_uncertainty_is_the_entropy_of_the_mean_over_folds_and_mirror_images(folds, predict, tmp_path):
    folder, files = folds()
    image = random_image(*PATCH) // 2 + 1
    (tmp_path / "images").mkdir()
    imsave(tmp_path / "images" / "a.png", image, check_contrast=False)
    words = (tmp_path / "images", tmp_path / "out", "--checkpoint", folder, "--mirroring", *EVERYTHING)
    code, _, err = predict(*words)
    assert (code, err) == (0, "")
    logits = _mean_logits(files, image.astype(np.float64))
    wanted = np.exp(logits - logits.max(axis=0))
    wanted /= wanted.sum(axis=0)
    probabilities = tifffile.imread(tmp_path / "out" / "probability_images" / "a.tif")
    # Logits are kept as float16.
    np.testing.assert_allclose(probabilities, wanted, atol=2e-3)
    uncertain = tifffile.imread(tmp_path / "out" / "uncertainty" / "a.tif")
    np.testing.assert_allclose(uncertain, _entropy(wanted), atol=4e-3)
    assert uncertain.std() > 0.005
    labels = imread(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=0))


def test_maps_and_statistics_of_a_volume_with_an_empty_border(folds, predict, tmp_path):
    folder, _ = folds(reader="SimpleITKIO", spacing=(1.3, 1.1))
    values = np.zeros((60, 50, 3), np.int16)
    for z in range(3):
        values[7:52, 5:41, z] = random_image(45, 36, seed=z).astype(np.int16) + 1
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * [0.9, 1.5, 4], (3, -7, 11)
    (tmp_path / "images").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "images" / "v.nii.gz")
    code, _, err = predict(tmp_path / "images", tmp_path / "out", "--checkpoint", folder, *EVERYTHING)
    assert (code, err) == (0, "")
    image = nibabel.load(tmp_path / "out" / "probability_images" / "v.nii.gz")
    probabilities = np.moveaxis(np.asarray(image.dataobj), -1, 0)
    assert probabilities.shape == (3, *values.shape)
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    assert (probabilities[0][values == 0] == 1).all()
    labels = nibabel.load(tmp_path / "out" / "v.nii.gz")
    np.testing.assert_array_equal(np.asarray(labels.dataobj), probabilities.argmax(axis=0))
    uncertain = nibabel.load(tmp_path / "out" / "uncertainty" / "v.nii.gz")
    np.testing.assert_allclose(np.asarray(uncertain.dataobj), _entropy(probabilities.astype(np.float64)), atol=1e-5)
    np.testing.assert_allclose(uncertain.affine, affine, atol=1e-5)
    with open(tmp_path / "out" / "statistics.csv", newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    for value, name in ((1, "rim"), (2, "core")):
        inside = np.asarray(labels.dataobj) == value
        assert float(rows[name]["size"]) == pytest.approx(inside.sum() * abs(np.linalg.det(affine)), rel=1e-5)
        assert rows[name]["unit"] == "mm3"
        if inside.any():
            assert float(rows[name]["mean c0"]) == pytest.approx(values[inside].mean(), rel=1e-5)
    assert sum(int(row["pixels"]) for row in rows.values()) > 0


def test_parts_give_every_file_of_one_run(folds, predict, tmp_path):
    folder, _ = folds()
    (tmp_path / "images").mkdir()
    for number in range(5):
        imsave(tmp_path / "images" / f"{number}.png", random_image(40 + number, 50, seed=number), check_contrast=False)
    words = (tmp_path / "images",)
    options = ("--checkpoint", folder, "--overlays", *EVERYTHING)
    assert predict(*words, tmp_path / "one", *options)[0] == 0
    for number in (2, 3, 1):
        assert predict(*words, tmp_path / "parts", *options, "--part", f"{number}/3")[0] == 0
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()}
    files = {path for path in files if path.suffix != ".log" and not path.name.startswith(".")}
    assert len(files) == 5 * 7 + 4
    for path in files:
        one, other = ((tmp_path / name / path).read_bytes() for name in ("one", "parts"))
        if path.suffix == ".npz":
            one, other = (np.load(tmp_path / name / path)["probabilities"].tobytes() for name in ("one", "parts"))
        assert one == other, path


def test_a_batch_of_arrays_is_each_of_them_alone(make_checkpoint, load):
    predictor = load(make_checkpoint(), precision="float32", batch_size=4)
    images = [random_image(*size, seed=seed) for seed, size in enumerate([(40, 50), (32, 48), (90, 33), (40, 50)])]
    together = predict_arrays(predictor, images)
    assert len(np.unique(np.concatenate([labels.ravel() for labels in together]))) > 1
    for image, labels in zip(images, together, strict=True):
        np.testing.assert_array_equal(predict_arrays(predictor, [image])[0], labels)
