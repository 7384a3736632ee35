"""``swin-umamba predict``: formats, geometry, bad files, resuming, and what is never overwritten."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image
from skimage.io import imread, imsave
from swin_umamba.common.files import lock_folder
from swin_umamba.common.processors import has_bfloat16_units
from swin_umamba.evaluation import evaluate_folders
from swin_umamba.networks import SwinUMambaD
from swin_umamba.prediction import input_images, predict_array, prediction
from swin_umamba.prediction.preprocessing import prepare

from .conftest import random_image

OBLIQUE = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def _write_volume(path, array, spacing=(1.5, 0.9, 4.0), origin=(-10.0, 20.0, 5.0)):
    volume = SimpleITK.GetImageFromArray(array)
    volume.SetSpacing(spacing)
    volume.SetOrigin(origin)
    volume.SetDirection(OBLIQUE)
    SimpleITK.WriteImage(volume, str(path))


def _expected(load, checkpoint, image):
    return predict_array(load(checkpoint), image[None, None].astype(np.float32), {"spacing": (999, 1, 1)})[0][0]


@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff", ".bmp"])
def test_plain_formats_give_the_same_labels(make_checkpoint, load, predict, images, tmp_path, ending):
    image, checkpoint = random_image(40, 61), make_checkpoint()
    imsave(images / f"a{ending}", image, check_contrast=False)
    code, out, err = predict(images, tmp_path / "out", "--checkpoint", checkpoint)
    assert (code, err) == (0, "")
    assert "predicted 1;" in out
    labels = imread(tmp_path / "out" / f"a{ending}")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, _expected(load, checkpoint, image))


def test_colour_in_one_file_or_three(make_checkpoint, predict, images, tmp_path):
    image, checkpoint = random_image(40, 61, 3), make_checkpoint(n_channels=3, normalization="RGBTo01Normalization")
    imsave(images / "together.png", image, check_contrast=False)
    for channel in range(3):
        imsave(images / f"apart_{channel:04d}.png", image[..., channel], check_contrast=False)
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    together, apart = (imread(tmp_path / "out" / f"{name}.png") for name in ("together", "apart"))
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_slices_of_a_volume_are_images_to_a_model_of_plain_images(
    make_checkpoint, load, predict, images, tmp_path, ending
):
    array, checkpoint = np.stack([random_image(36, 52, seed=z) * (z + 1) for z in range(3)]), make_checkpoint()
    _write_volume(images / f"v{ending}", array)
    assert predict(images / f"v{ending}", tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    labels = SimpleITK.ReadImage(str(tmp_path / "out" / f"v{ending}"))
    for z in range(3):
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(labels)[z], _expected(load, checkpoint, array[z]))
    _assert_same_grid(labels, SimpleITK.ReadImage(str(images / f"v{ending}")))


def _assert_same_grid(labels, image):
    assert labels.GetSize() == image.GetSize()
    for geometry in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(labels, geometry)(), getattr(image, geometry)(), atol=1e-5)


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"])
def test_geometry_of_a_resampled_volume_is_kept(make_checkpoint, predict, images, tmp_path, reader):
    checkpoint = make_checkpoint(reader=reader, spacing=(1.1, 1.2))
    _write_volume(images / "v_0000.nii.gz", np.stack([random_image(30, 44, seed=z) for z in range(2)]))
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    labels = SimpleITK.ReadImage(str(tmp_path / "out" / "v.nii.gz"))
    _assert_same_grid(labels, SimpleITK.ReadImage(str(images / "v_0000.nii.gz")))
    assert len(np.unique(SimpleITK.GetArrayFromImage(labels))) > 1


def test_a_2d_nifti_stays_2d(make_checkpoint, predict, images, tmp_path):
    image = SimpleITK.GetImageFromArray(random_image(30, 44))
    image.SetSpacing((0.5, 0.5))
    SimpleITK.WriteImage(image, str(images / "s.nii.gz"))
    checkpoint = make_checkpoint(reader="SimpleITKIO", spacing=(0.5, 0.5))
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    assert SimpleITK.ReadImage(str(tmp_path / "out" / "s.nii.gz")).GetSize() == (44, 30)


def test_bad_images_are_named_and_the_others_predicted(make_checkpoint, predict, images, tmp_path):
    good = random_image(40, 50)
    for name in ("a_good", "z_good"):
        imsave(images / f"{name}.png", good, check_contrast=False)
    imsave(images / "colour.png", random_image(40, 50, 3), check_contrast=False)
    (images / "empty.png").touch()
    (images / "text.png").write_text("no image")
    (images / "truncated.png").write_bytes((images / "a_good.png").read_bytes()[:60])
    imsave(images / "nan.tif", np.where(good > 200, np.nan, good).astype(np.float32), check_contrast=False)
    imsave(images / "offset.tif", good.astype(np.uint32) + 2**31, check_contrast=False)
    four_axes = SimpleITK.GetImageFromArray(np.zeros((2, 2, 8, 8), np.float32), isVector=False)
    SimpleITK.WriteImage(four_axes, str(images / "four_axes.nii.gz"))
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros((2, 8, 8, 3), np.float32), isVector=True), str(images / "vector.nii.gz")
    )
    code, out, err = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint())
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a_good.png", "z_good.png"]
    reasons = {
        "colour": "it has 3 channels, the model was trained on 1",
        "empty": "empty.png cannot be read",
        "four_axes": "write each channel into its own file",
        "nan": "it holds NaN or infinite values",
        "offset": "whose differences float32 loses; subtract a constant from them",
        "text": "text.png cannot be read",
        "truncated": "truncated.png cannot be read",
        "vector": "write each channel into its own file",
    }
    for name, reason in reasons.items():
        line = next(line for line in out.splitlines() if line.startswith(f"failed {name}: "))
        assert reason in line
    assert "8 of 10 images could not be predicted: " + ", ".join(reasons) in err
    assert len(err.splitlines()) == 1


def test_images_in_folders_below_are_left_out_and_said(make_checkpoint, predict, images, tmp_path):
    (images / "more").mkdir()
    imsave(images / "more" / "b.png", random_image(40, 50), check_contrast=False)
    words = (images, images / "out", "--checkpoint", make_checkpoint())
    code, _, err = predict(*words)
    assert (code, f"holds no image itself, but folders below it do, as {images / 'more' / 'b.png'}" in err) == (2, True)
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    note = "are left out, such as"
    assert note in predict(*words)[1]
    (images / "more" / "b.png").unlink()
    # Its own output is none.
    assert note not in predict(*words, "--skip-existing")[1]


def test_images_of_other_formats_are_left_out_and_said(make_checkpoint, predict, images, tmp_path):
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    for name in ("b.jpg", "c.webp", "d.jp2", "._e.webp"):
        (images / name).write_bytes(b"content")
    (images / "notes.txt").write_text("none")
    out = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint())[1]
    assert "note: 3 files of other formats are left out, such as b.jpg" in out


def test_a_link_to_a_lost_file_is_not_left_out(make_checkpoint, predict, images, tmp_path):
    """As those of data sets whose files were not fetched."""
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    (images / "b.png").symlink_to(tmp_path / "lost.png")
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint())
    assert (code, "failed b: b.png is a link to a file that is not there; fetch it" in out) == (1, True)


@pytest.mark.parametrize(("axes", "there"), [((0, 1, 2), "sagittal"), ((2, 0, 1), "axial")])
def test_volumes_that_are_cut_across_their_slices_are_said(make_checkpoint, predict, images, tmp_path, axes, there):
    """Those whose thick slices lie along another axis of the file than in the training, and no others."""
    array = np.stack([random_image(30, 44)] * 2)
    for name, spacing in {"axial": (0.7, 0.8, 4.0), "sagittal": (4.0, 0.7, 0.8), "even": (0.8, 0.8, 0.8)}.items():
        _write_volume(images / f"{name}.nii.gz", array, spacing)
    options = {"reader": "SimpleITKIO", "spacing": (0.8, 0.7), "axes": axes}
    caution = "have thick slices along another axis of the file"
    checkpoint = make_checkpoint(usual_spacing=(4.0, 0.8, 0.7), **options)
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", checkpoint)
    assert (code, f"caution 1 volumes, such as {there}, {caution}" in " ".join(out.split())) == (0, True)
    # Not where the training saw voxels of nearly even sides.
    checkpoint = make_checkpoint(usual_spacing=(1.0, 0.8, 0.7), **options)
    assert caution not in " ".join(predict(images, tmp_path / "other", "--checkpoint", checkpoint)[1].split())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (30, 40)}, "different sizes: v_0000.nii.gz 2×30×44, v_0001.nii.gz 2×30×40"),
        ({"spacing": (1.5, 0.9, 5.0)}, "lie elsewhere: v_0000.nii.gz has spacing"),
        ({"origin": (-10.0, 20.0, 6.0)}, "v_0000.nii.gz and v_0001.nii.gz are up to 1 mm apart"),
    ],
)
def test_channels_that_do_not_match_are_not_predicted(make_checkpoint, predict, images, tmp_path, change, message):
    size = change.pop("size", (30, 44))
    _write_volume(images / "v_0000.nii.gz", np.stack([random_image(30, 44)] * 2))
    _write_volume(images / "v_0001.nii.gz", np.stack([random_image(*size)] * 2), **change)
    checkpoint = make_checkpoint(n_channels=2, reader="SimpleITKIO")
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", checkpoint)
    assert code == 1
    assert message in out


@pytest.mark.parametrize("place", ["rounded", "none", "two"])
def test_channels_at_one_place_to_half_a_voxel_are_predicted(make_checkpoint, predict, images, tmp_path, place):
    affine = np.diag([1.0, 1.2, 3.0, 1.0])
    values = np.stack([random_image(30, 44)] * 2).T.astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, affine), images / "v_0000.nii.gz")
    elsewhere = affine.copy()
    elsewhere[:3, 3] = 0.02 if place == "rounded" else 90
    other = nibabel.Nifti1Image(values, elsewhere)
    other.set_sform(elsewhere, 0 if place == "none" else 1)
    other.set_qform(affine, 1 if place == "two" else 0)
    nibabel.save(other, images / "v_0001.nii.gz")
    checkpoint = make_checkpoint(n_channels=2, reader="SimpleITKIO")
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_volumes_with_values_that_are_not_finite_are_not_predicted(
    make_checkpoint, predict, images, tmp_path, value, ending
):
    """ITK makes 0 of those in NIfTI when it reads them."""
    array = np.stack([random_image(30, 44)] * 2).astype(np.float32)
    array[1, 4, 5] = value
    _write_volume(images / f"v{ending}", array)
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint(reader="SimpleITKIO"))
    assert code == 1
    assert f"failed v: it holds NaN or infinite values (v{ending}); replace them" in out
    assert not (tmp_path / "out" / f"v{ending}").exists()


def test_plain_images_have_no_size_in_mm(make_checkpoint, predict, images, tmp_path):
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint(reader="SimpleITKIO"))
    assert code == 1
    assert "convert them to NIfTI" in out


def test_other_orientations_are_not_read_without_reorienting(make_checkpoint, predict, images, tmp_path):
    _write_volume(images / "v.nrrd", np.stack([random_image(30, 44)] * 2))
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint(reader="NibabelIOWithReorient"))
    assert code == 1
    assert "reads no .nrrd files; convert them to .nii or .nii.gz" in out


def test_too_little_memory_for_one_image_is_not_the_end(make_checkpoint, predict, images, tmp_path, monkeypatch):
    for name, width in (("large", 64), ("small", 50)):
        imsave(images / f"{name}.png", random_image(40, width), check_contrast=False)

    def crowded(predictor, image, *args, **kwargs):
        if image.shape[-1] == 64:
            raise MemoryError("Unable to allocate 1. TiB")
        return prepare(predictor, image, *args, **kwargs)

    monkeypatch.setattr("swin_umamba.prediction.prediction.prepare", crowded)
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint())
    assert code == 1
    assert "failed large: MemoryError: Unable to allocate 1. TiB" in out
    assert (tmp_path / "out" / "small.png").exists()
    assert "Traceback" in (tmp_path / "out" / "predict.log").read_text()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "cannot write the prediction of a into"),
        # As SimpleITK does.
        (RuntimeError("file cannot be written"), "2 of 2 images could not be predicted: a, b"),
    ],
)
def test_a_prediction_that_cannot_be_written(make_checkpoint, predict, images, tmp_path, monkeypatch, error, message):
    for name in ("a", "b"):
        imsave(images / f"{name}.png", random_image(40, 50), check_contrast=False)

    def fail(*args):
        raise error

    monkeypatch.setattr(input_images.NaturalImage2DIO, "write_seg", fail)
    code, _, err = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint())
    assert code == 1
    assert message in err
    assert not list((tmp_path / "out").glob("*.png"))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("as of ITK")])
def test_a_full_disk_leaves_whole_predictions_and_the_same_command_goes_on(
    make_checkpoint, predict, images, tmp_path, monkeypatch, error
):
    for name in ("a", "b"):
        imsave(images / f"{name}.png", random_image(40, 50), check_contrast=False)
    write, out, checkpoint = input_images.NaturalImage2DIO.write_seg, tmp_path / "out", make_checkpoint()

    def fill_up(self, labels, path, properties):
        if path.endswith("b.png"):
            Path(path).write_bytes(b"half")
            raise error
        write(self, labels, path, properties)

    with monkeypatch.context() as full:
        full.setattr(input_images.NaturalImage2DIO, "write_seg", fill_up)
        full.setattr(prediction.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
        code, _, err = predict(images, out, "--checkpoint", checkpoint)
    assert code == 1
    assert err.endswith("the disk is full; make room, and go on with the same command and --skip-existing\n")
    assert [path.name for path in out.rglob("*.png")] == ["a.png"]
    assert predict(images, out, "--checkpoint", checkpoint, "--skip-existing")[0] == 0
    assert sorted(path.name for path in out.rglob("*.png")) == ["a.png", "b.png"]


@pytest.fixture
def former(make_checkpoint, predict, images, tmp_path):
    """A folder with two predictions, and its checkpoint."""
    for name in ("a", "b"):
        imsave(images / f"{name}.png", random_image(40, 50), check_contrast=False)
    checkpoint = make_checkpoint()
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    return tmp_path / "out", checkpoint


def test_skip_existing_predicts_what_is_missing(former, predict, images):
    out, checkpoint = former
    labels = imread(out / "b.png")
    (out / "b.png").unlink()
    os.utime(out / "a.png", (0, 0))
    code, said, _ = predict(images, out, "--checkpoint", checkpoint, "--skip-existing")
    assert code == 0
    assert "predicted 1, 1 were there already" in said
    assert (out / "a.png").stat().st_mtime == 0
    np.testing.assert_array_equal(imread(out / "b.png"), labels)
    # Asked for more, it makes the rest of the files too.
    code, said, _ = predict(images, out, "--checkpoint", checkpoint, "--skip-existing", "--overlays", "--probabilities")
    assert "predicted 2;" in said
    assert sorted(path.name for path in (out / "overlays").iterdir()) == ["a.png", "b.png"]
    code, said, _ = predict(images, out, "--checkpoint", checkpoint, "--skip-existing", "--overlays", "--probabilities")
    assert "predicted 0, 2 were there already" in said


@pytest.mark.parametrize("change", ["checkpoint", "mirroring", "step size", "device", "precision"])
def test_predictions_of_another_model_are_not_gone_on_with(former, predict, images, make_checkpoint, change):
    out, checkpoint = former
    record = json.loads((out / "prediction.json").read_text())
    precision = "bfloat16" if has_bfloat16_units() else "float32"
    assert (record["settings"]["device"], record["settings"]["precision"]) == ("cpu", precision)
    if change in ("device", "precision"):  # as a GPU would have left it
        record["settings"][change] = {"device": "cuda", "precision": "float16"}[change]
        (out / "prediction.json").write_text(json.dumps(record))
    options = {
        "checkpoint": ["--checkpoint", make_checkpoint("other.pth", seed=1)],
        "mirroring": ["--checkpoint", checkpoint, "--mirroring"],
        "step size": ["--checkpoint", checkpoint, "--step-size", "0.75"],
    }.get(change, ["--checkpoint", checkpoint])
    (out / "b.png").unlink()
    code, _, err = predict(images, out, "--skip-existing", *options)
    assert code == 2
    assert f"predictions with another {'model' if change == 'checkpoint' else change}" in err
    assert not (out / "b.png").exists()


def test_a_moved_checkpoint_is_the_same(former, predict, images, tmp_path):
    out, checkpoint = former
    moved = shutil.move(checkpoint, tmp_path / "moved.pth")
    assert predict(images, out, "--checkpoint", moved, "--skip-existing")[0] == 0


def test_a_prediction_that_was_interrupted_does_not_count(former, predict, images, monkeypatch):
    out, checkpoint = former
    (out / "b.png").unlink()

    def killed(self, labels, path, properties):
        with open(path, "wb") as file:
            file.write(b"half of the file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(input_images.NaturalImage2DIO, "write_seg", killed)
        assert predict(images, out, "--checkpoint", checkpoint, "--skip-existing")[0] == 130
    assert not (out / "b.png").exists()
    # What a killed process leaves is cleared away.
    (out / ".unfinished-killed").mkdir()
    (out / ".unfinished-killed" / "b.png").write_bytes(b"half")
    assert predict(images, out, "--checkpoint", checkpoint, "--skip-existing")[0] == 0
    assert imread(out / "b.png").shape == (40, 50)
    assert not list(out.glob(".unfinished*"))


def test_a_folder_in_which_another_process_predicts_is_left_alone(former, predict, images, monkeypatch):
    out, checkpoint = former
    (out / "b.png").unlink()
    (out / ".unfinished-other").mkdir()
    with lock_folder(out, "wait"):
        code, _, err = predict(images, out, "--checkpoint", checkpoint, "--skip-existing")
    assert code == 2
    assert f"another process is at work in {out}; wait for it, or choose another OUTPUT" in err
    assert (out / ".unfinished-other").exists()
    assert not (out / "b.png").exists()


def test_predictions_that_another_process_has_made_meanwhile_are_left_alone(
    make_checkpoint, predict, images, tmp_path, monkeypatch
):
    from swin_umamba.prediction import predictor

    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    load = predictor.load_predictor

    def wait_for_other(*args, **options):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "prediction.json").write_text('{"settings": {"model": "another"}}')
        return load(*args, **options)

    monkeypatch.setattr(predictor, "load_predictor", wait_for_other)
    code, _, err = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint(), "--skip-existing")
    assert code == 2
    assert "predictions with another model" in err
    assert not (tmp_path / "out" / "a.png").exists()


def test_probabilities_are_as_nnunet_writes_them(make_checkpoint, predict, images, tmp_path):
    _write_volume(images / "v.nii.gz", np.stack([random_image(36, 52, seed=z) for z in range(3)]))
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    assert predict(images, tmp_path / "out", "--checkpoint", make_checkpoint(), "--probabilities")[0] == 0
    for name, shape in (("a", (3, 1, 40, 50)), ("v", (3, 3, 36, 52))):
        probabilities = np.load(tmp_path / "out" / f"{name}.npz")["probabilities"]
        assert probabilities.shape == shape
        assert probabilities.dtype == np.float32
        properties = pickle.loads((tmp_path / "out" / f"{name}.pkl").read_bytes())
        assert len(properties["spacing"]) == 3
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "out" / "v.nii.gz")))
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "v.npz")["probabilities"].argmax(axis=0), labels)
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]["core"] == 2
    assert "configurations" in json.loads((tmp_path / "out" / "plans.json").read_text())


def test_overlays_show_image_and_labels(make_checkpoint, predict, images, tmp_path):
    image = np.where(np.arange(50) < 25, 40, 200).astype(np.uint8) * np.ones((40, 1), np.uint8)
    imsave(images / "a.png", image, check_contrast=False)
    imsave(images / "flat.png", np.full((40, 50), 9, np.uint8), check_contrast=False)
    assert predict(images, tmp_path / "out", "--checkpoint", make_checkpoint(seed=3), "--overlays")[0] == 0
    overlay, labels = imread(tmp_path / "out" / "overlays" / "a.png"), imread(tmp_path / "out" / "a.png")
    assert overlay.shape == (40, 50, 3)
    assert 0 < np.count_nonzero(labels) < labels.size
    grey = np.ptp(overlay.astype(int), axis=-1) == 0
    np.testing.assert_array_equal(grey, labels == 0)
    assert imread(tmp_path / "out" / "overlays" / "flat.png").shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("images", "is the folder of the images"),
        ("images/a.png", "is a file"),
        ("labels", "is not empty and holds no former predictions"),
    ],
)
def test_nothing_is_overwritten(make_checkpoint, predict, images, tmp_path, output, message):
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png").write_bytes(b"a reference")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    for source in (images, images / "a.png"):
        code, _, err = predict(source, tmp_path / output, "--checkpoint", make_checkpoint())
        assert code == 2
        assert message in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_former_predictions_are_not_overwritten(former, predict, images):
    out, checkpoint = former
    code, _, err = predict(images, out, "--checkpoint", checkpoint)
    assert code == 2
    assert "--skip-existing, or choose another OUTPUT" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "gpu"], "--device gpu: must be"),
        (["--step-size", "0"], "must be above 0"),
        (["--checkpoint", "none.pth"], "none.pth does not exist"),
    ],
)
def test_wrong_options_end_with_2(make_checkpoint, images, tmp_path, predict, options, message, capfd):
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    try:
        code, _, err = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint(), *options)
    except SystemExit as exit_:
        code, err = exit_.code, capfd.readouterr().err
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_jpeg_gets_a_png_and_a_caution(make_checkpoint, load, predict, images, tmp_path):
    checkpoint = make_checkpoint()
    Image.fromarray(random_image(40, 50)).save(images / "a.jpg", quality=90)
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", checkpoint)
    assert code == 0
    assert "1 images are JPEG, whose pixels" in out
    pixels = np.asarray(Image.open(images / "a.jpg"))
    np.testing.assert_array_equal(imread(tmp_path / "out" / "a.png"), _expected(load, checkpoint, pixels))


def test_colours_of_16_bits_are_predicted_alike_in_every_format(make_checkpoint, predict, images, tmp_path):
    image = random_image(40, 61, 3).astype(np.uint16)
    (images / "as_png.png").write_bytes(imagecodecs.png_encode(image))
    tifffile.imwrite(images / "as_tif.tif", image, photometric="rgb")
    tifffile.imwrite(images / "led.tif", image[None], photometric="rgb")
    imsave(images / "of_8_bits.png", image.astype(np.uint8), check_contrast=False)
    checkpoint = make_checkpoint(n_channels=3, normalization="RGBTo01Normalization")
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    first, *others = (imread(path) for path in sorted((tmp_path / "out").glob("*.[pt]*g*")) if path.is_file())
    assert len(np.unique(first)) > 1
    assert all(np.array_equal(first, other) for other in others)
    np.testing.assert_array_equal(imread(tmp_path / "out" / "as_tif.tif"), first)


def test_a_stack_of_pages_is_no_image_of_a_plain_model(make_checkpoint, predict, images, tmp_path):
    for page in range(3):
        tifffile.imwrite(images / "appended.tif", random_image(40, 50), append=page > 0)
    tifffile.imwrite(images / "stack.tif", np.stack([random_image(40, 50)] * 3), photometric="minisblack")
    for n_channels in (1, 3):
        checkpoint = make_checkpoint(f"{n_channels}.pth", n_channels=n_channels)
        code, out, _ = predict(images, tmp_path / f"out{n_channels}", "--checkpoint", checkpoint)
        assert code == 1
        for name in ("appended", "stack"):
            assert f"failed {name}: {name}.tif is a stack of 3 slices where 2-D images are wanted" in out


def _micrometres(image):
    image.header.set_xyzt_units("micron")
    image.set_sform(np.diag([1000, 1000, 1000, 1]) @ image.affine, 1)
    image.set_qform(image.get_sform(), 1)


def _no_codes(image):
    image.set_sform(None, 0)
    image.set_qform(None, 0)


def _sform_alone(image):
    image.set_qform(None, 0)


def _qform_alone(image):
    image.set_sform(None, 0)


def _disagreeing(image):
    moved = image.affine.copy()
    moved[:3, 3] += 70
    image.set_sform(moved, 4)


def _slight_shear(image):
    sheared = image.affine.copy()
    sheared[0, 1] = 0.1
    image.set_sform(sheared, 1)
    image.set_qform(None, 0)


@pytest.mark.parametrize(
    "change", [_micrometres, _no_codes, _sform_alone, _qform_alone, _disagreeing, _slight_shear, lambda image: None]
)
@pytest.mark.parametrize("shape", [(44, 30, 2), (44, 30, 2, 1), (44, 30)])
@pytest.mark.parametrize("reader", ["SimpleITKIO", "NaturalImage2DIO"])
def test_what_is_predicted_is_scored_against_labels_on_the_same_grid(
    make_checkpoint, predict, images, tmp_path, change, shape, reader
):
    affine = np.diag([-0.9, -1.5, 4, 1.0])
    affine[:3, 3] = 12, -30, 7
    (tmp_path / "labels").mkdir()
    array = np.stack([random_image(44, 30, seed=z) for z in range(2)], -1).reshape(*shape[:2], -1)
    array = (array[..., 0] if len(shape) == 2 else array).reshape(shape)
    for path, values in ((images / "v.nii.gz", array), (tmp_path / "labels" / "v.nii.gz", array % 3)):
        image = nibabel.Nifti1Image(values.astype(np.uint8), affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        change(image)
        nibabel.save(image, path)
    checkpoint = make_checkpoint(reader=reader, spacing=(1.0, 1.0))
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    evaluation = evaluate_folders(tmp_path / "labels", tmp_path / "out", "labels")
    assert list(evaluation.cases) == ["v"]
    written, given = nibabel.load(tmp_path / "out" / "v.nii.gz"), nibabel.load(images / "v.nii.gz")
    np.testing.assert_array_equal(written.affine, given.affine)
    np.testing.assert_array_equal(written.header.get_zooms(), given.header.get_zooms()[: len(shape[:3])])


def test_the_overlay_of_a_volume_is_a_slice_that_the_network_sees(make_checkpoint, predict, images, tmp_path):
    array = np.stack([random_image(36, 5, seed=z) for z in range(12)])
    _write_volume(images / "v.nii.gz", array, spacing=(5, 0.9, 0.9))
    checkpoint = make_checkpoint(reader="SimpleITKIO", spacing=(0.9, 0.9), axes=(2, 0, 1))
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint, "--overlays")[0] == 0
    overlay = imread(tmp_path / "out" / "overlays" / "v.png")
    assert overlay.shape == (12, 36, 3)
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "out" / "v.nii.gz")))
    fullest = np.count_nonzero(labels, axis=(0, 1)).argmax()
    np.testing.assert_array_equal(np.ptp(overlay.astype(int), axis=-1) == 0, labels[..., fullest] == 0)


@pytest.mark.parametrize("with_spacing", [True, False])
def test_a_stack_of_pages_is_predicted_and_scored_as_a_volume(make_checkpoint, predict, images, tmp_path, with_spacing):
    (tmp_path / "labels").mkdir()
    array = np.stack([random_image(36, 50, seed=z) for z in range(3)])
    for path, values in ((images / "v_0000.tif", array), (tmp_path / "labels" / "v.tif", array % 3)):
        for page in values:
            tifffile.imwrite(path, page.astype(np.uint8), append=path.exists())
        if with_spacing:
            (path.parent / "v.json").write_text('{"spacing": [4, 0.9, 0.9]}')
    checkpoint = make_checkpoint(reader="Tiff3DIO", spacing=(1.0, 1.0))
    assert predict(images, tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    assert tifffile.imread(tmp_path / "out" / "v.tif").shape == (3, 36, 50)
    (case,) = evaluate_folders(tmp_path / "labels", tmp_path / "out", "labels", tolerance=1).cases.values()
    assert 0 < case.case_means["dsc"] < 1


def test_a_slice_that_cannot_be_predicted_fails_its_volume_alone(make_checkpoint, predict, images, tmp_path):
    good = np.stack([random_image(36, 52, seed=z) for z in range(3)]).astype(np.float32)
    for name, bad_slices in (("a", []), ("b", [0]), ("c", [2]), ("d", [])):
        array = good.copy()
        array[bad_slices] = -1  # no colours
        _write_volume(images / f"{name}.nii.gz", array)
    checkpoint = make_checkpoint(normalization="RGBTo01Normalization")
    code, out, err = predict(images, tmp_path / "out", "--checkpoint", checkpoint)
    assert code == 1
    assert "2 of 4 images could not be predicted: b, c" in err
    assert [line for line in out.splitlines() if "/4 " in line] == ["1/4 a", "2/4 b", "3/4 c", "4/4 d"]
    first, last = (SimpleITK.ReadImage(str(tmp_path / "out" / f"{name}.nii.gz")) for name in "ad")
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(first), SimpleITK.GetArrayFromImage(last))


def test_what_is_predicted_does_not_depend_on_what_else_is(make_checkpoint, predict, images, tmp_path):
    shapes = [(40, 50), (70, 110), (36, 200), (32, 48)]
    for number, shape in enumerate(shapes):
        imsave(images / f"{number}.png", random_image(*shape, seed=number), check_contrast=False)
    checkpoint = make_checkpoint()
    assert predict(images, tmp_path / "all", "--checkpoint", checkpoint, "--batch-size", 3, "--probabilities")[0] == 0
    for number in range(len(shapes)):
        out = tmp_path / f"out{number}"
        options = ["--checkpoint", checkpoint, "--batch-size", 3, "--probabilities"]
        assert predict(images / f"{number}.png", out, *options)[0] == 0
        for ending in (".png", ".npz", ".pkl"):
            assert (out / f"{number}{ending}").read_bytes() == (tmp_path / "all" / f"{number}{ending}").read_bytes()


def test_large_images_are_alone_in_memory(make_checkpoint, predict, images, tmp_path, monkeypatch):
    for name in "abcd":
        imsave(images / f"{name}.png", random_image(40, 50), check_contrast=False)
    read, events = prediction.read_image, []
    write = input_images.NaturalImage2DIO.write_seg
    monkeypatch.setattr(prediction, "LARGE", 0)
    monkeypatch.setattr(prediction, "read_image", lambda *a: (events.append(f"read {a[0].identifier}"), read(*a))[1])
    monkeypatch.setattr(
        input_images.NaturalImage2DIO,
        "write_seg",
        lambda self, labels, path, kept: (write(self, labels, path, kept), events.append(f"wrote {path[-5]}")),
    )
    assert predict(images, tmp_path / "out", "--checkpoint", make_checkpoint())[0] == 0
    assert events == [f"{what} {name}" for name in "abcd" for what in ("read", "wrote")]


def test_sigterm_leaves_whole_predictions_and_the_same_command_goes_on(make_checkpoint, predict, images, tmp_path):
    for number in range(12):
        imsave(images / f"{number:02}.png", random_image(33, 49, seed=number), check_contrast=False)
    # A process of its own knows the trainers of the package alone.
    checkpoint = make_checkpoint(
        network_weights=SwinUMambaD(1, 3).state_dict(), trainer_name="nnUNetTrainerSwinUMambaD"
    )
    out, script = tmp_path / "out", "import sys; from swin_umamba.commands import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "predict", images, out, "--checkpoint", checkpoint, "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("2/12"):
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "swin-umamba predict: interrupted\n")
    there = sorted(path.name for path in out.glob("*.png"))
    assert "00.png" in there
    assert len(there) < 12
    assert all(imread(out / name).shape == (33, 49) for name in there)
    assert not list(out.glob(".unfinished*"))
    code, said, _ = predict(images, out, "--checkpoint", checkpoint, "--skip-existing")
    assert code == 0
    assert f"predicted {12 - len(there)}, {len(there)} were there already" in said
