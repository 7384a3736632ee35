"""Which images train and which validate, and what folders are refused."""

from __future__ import annotations

import shutil

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.pretraining.image_folder import check_images, open_image_folder


def test_train_and_val_are_taken_as_they_are(stripes):
    images = open_image_folder(stripes, 0.1, 0)
    assert images.classes == ("columns", "rows")
    assert (len(images.training), len(images.validation)) == (80, 40)
    assert {path.parent for path, label in images.validation if label == 1} == {stripes / "val" / "rows"}


@pytest.mark.parametrize("divided", [True, False])
def test_without_val_a_part_of_each_class_validates(make_images, tmp_path, divided):
    root = make_images(tmp_path / "images", training=20, validation=0)
    shutil.rmtree(root / "val")
    images = open_image_folder(root if divided else root / "train", 0.2, 3)
    labels = [label for _, label in images.validation]
    assert (labels.count(0), labels.count(1)) == (4, 4)
    assert not set(images.training) & set(images.validation)
    assert len(images.training) == 32
    again, other = (open_image_folder(root, 0.2, seed).validation for seed in (3, 4))
    assert images.validation == again
    assert images.validation != other


def test_images_deeper_in_a_class_are_found_and_other_files_are_not(make_images, tmp_path):
    root = make_images(tmp_path / "images")
    (root / "train" / "rows" / "patient").mkdir()
    (root / "train" / "rows" / "000.png").rename(root / "train" / "rows" / "patient" / "scan.PNG")
    (root / "train" / "rows" / "notes.txt").write_text("")
    assert len(open_image_folder(root, 0.1, 0).training) == 24


def _no_classes(root):
    shutil.rmtree(root / "train")
    (root / "train").mkdir()
    return "train holds no classes"


def _one_class(root):
    shutil.rmtree(root / "train" / "rows")
    return "holds only one class, 'columns'"


def _other_classes(root):
    (root / "val" / "rows").rename(root / "val" / "circles")
    return "train and val must hold the same classes; only val has 'circles'"


def _empty_class(root):
    for path in (root / "val" / "rows").iterdir():
        path.unlink()
    return "rows holds no images; read are .png"


def _val_alone(root):
    shutil.rmtree(root / "train")
    return "has a folder val but no folder train"


def _one_image(root):
    shutil.rmtree(root / "val")
    for path in sorted((root / "train" / "rows").iterdir())[1:]:
        path.unlink()
    return "rows has one image; training and validation need one each"


def _no_folder(root):
    shutil.rmtree(root)
    return "is not a folder; give one that holds train/CLASS"


@pytest.mark.parametrize(
    "spoil", [_no_classes, _one_class, _other_classes, _empty_class, _val_alone, _one_image, _no_folder]
)
def test_a_wrong_folder_is_refused_with_the_reason(make_images, tmp_path, spoil):
    root = make_images(tmp_path / "images")
    message = spoil(root)
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        open_image_folder(root, 0.1, 0)


def test_images_smaller_than_the_crop_are_told_and_refused_where_most_are(make_images, tmp_path):
    images = open_image_folder(make_images(tmp_path / "images"), 0.1, 0)
    seen = []
    assert check_images(images, 40, lambda: seen.append(1)) == []
    assert len(seen) == len(images.training) + len(images.validation)
    with pytest.raises(UserError, match=r"32 of 32 images are smaller than the 64×64 pixels .*000\.png with 40×48"):
        check_images(images, 64)
