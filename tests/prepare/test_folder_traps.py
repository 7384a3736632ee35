"""Folders that are easily taken for something else, as people have them."""

from __future__ import annotations

import unicodedata

import nibabel
import numpy as np
import pytest
from PIL import Image

from .test_folder import N, classes, filled, folders, labels_of, picture, prepared, refused, save  # noqa: F401

# ruff: noqa: F811 - fixtures


@pytest.mark.parametrize("packed", [False, True], ids=["bytes", "bits"])
def test_masks_of_1_beside_masks_of_255_are_not_two_classes(folders, prepared, refused, packed):
    images, masks, folder = folders
    for number in range(N):
        inside = classes(number) > 0
        save(images / f"{number}.png", picture(number))
        if number % 2:
            save(masks / f"{number}.png", inside if packed else inside.astype(np.uint8))
        else:
            save(masks / f"{number}.png", 255 * inside.astype(np.uint8))
    error = refused()
    assert "some masks hold 1, such as" in error
    assert "--threshold 1 makes one class of them" in error
    description, _ = prepared("--threshold", "1")
    assert description["labels"] == {"background": 0, "foreground": 1}
    for number in range(N):
        np.testing.assert_array_equal(labels_of(folder, f"{number}.png")[0], classes(number) > 0)


def test_two_classes_of_1_and_255_are_named(filled, folders, prepared):
    images, masks, folder = folders
    for number in range(N):
        save(images / f"{number}.png", picture(number))
        save(masks / f"{number}.png", (classes(number) > 0).astype(np.uint8) * (255 if number % 2 else 1))
    prepared("--labels", "a=1,b=255")
    assert [labels_of(folder, f"{number}.png").max() for number in range(N)] == [1, 2] * (N // 2)


def test_masks_that_hold_1_and_255_are_of_two_classes(filled, prepared):
    filled((0, 1, 255))
    description, _ = prepared()
    assert description["labels"] == {"background": 0, "label 1": 1, "label 255": 2}


def test_formats_that_are_not_read_are_said(filled, prepared, folders):
    filled()
    images, masks, _ = folders
    for name in (images / "more.webp", images / "more.NII.BZ2", masks / "more_mask.gif", images / ".hidden.gif"):
        name.write_bytes(b"content")
    _, words = prepared()
    assert "note: left out: 3 files of formats that are not read, such as" in words


@pytest.mark.parametrize(
    ("name", "advice"),
    [("im0.json", "outlines, as of labelme, COCO or VOC, are not read"), ("im0.npy", "convert such files to PNG")],
)
def test_what_stands_in_the_place_of_masks_is_named(folders, refused, name, advice):
    images, masks, _ = folders
    save(images / "im0.png", picture(0))
    masks.mkdir()
    (masks / name).write_text("{}")
    assert f"holds no image, but {name}" in (error := refused())
    assert advice in error


@pytest.mark.parametrize("table", [False, True])
def test_background_and_ignore_in_capitals_are_no_classes(filled, folders, prepared, tmp_path, table):
    filled((0, 9, 7))
    names = "Background=0,IGNORE=9,core=7"
    if table:
        (tmp_path / "names.csv").write_text(names.replace(",", "\n").replace("=", ","))
        names = str(tmp_path / "names.csv")
    description, _ = prepared("--labels", names)
    assert description["labels"] == {"background": 0, "core": 1, "ignore": 2}
    np.testing.assert_array_equal(labels_of(folders[2])[0], np.array((0, 2, 1))[classes(1)])


def test_white_of_16_bits_beside_colours_is_no_background(folders, refused):
    images, masks, _ = folders
    for number in range(2):
        save(images / f"{number}.png", picture(number))
    inside = classes(0) > 0
    save(masks / "0.png", inside.astype(np.uint16) * 65535)
    save(masks / "1.png", inside[..., None] * np.array((255, 0, 0), dtype=np.uint8))
    assert "0.png holds the value 65535, no shade of 8 bits, where other masks hold colours" in refused()


def test_a_packed_volume_that_is_not_named_so_is_packed_once(folders, prepared, tmp_path):
    images, masks, folder = folders
    for where in (images, masks):
        where.mkdir()
    for number in range(2):
        volume = np.stack([picture(number)] * 3, axis=-1).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii.gz")
        (tmp_path / "v.nii.gz").rename(images / f"{number}.nii")
        nibabel.save(nibabel.Nifti1Image(np.stack([classes(number)] * 3, axis=-1), np.eye(4)), masks / f"{number}.nii")
    prepared()
    written = nibabel.load(folder / "imagesTr" / "1_0000.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), volume)


def test_links_to_lost_files_are_not_left_out(filled, folders, refused, tmp_path):
    filled()
    for folder, name in zip(folders[:2], ("im9.png", "im9_mask.png"), strict=True):
        (folder / name).symlink_to(tmp_path / "lost.png")
    error = refused()
    assert "im9.png is a link to a file that is not there; fetch it" in error
    assert "im9_mask.png is a link to a file that is not there; fetch it" in error


def test_an_accent_is_the_same_in_both_ways_of_writing_it(folders, prepared):
    images, masks, folder = folders
    names = ("Müller 1", "Ärger", "größe é")
    for number, name in enumerate(names):
        save(images / f"{unicodedata.normalize('NFC', name)}.PNG", picture(number))
        save(masks / f"{unicodedata.normalize('NFD', name)} Maß.Png", (classes(number) > 0).astype(np.uint8))
    _, words = prepared()
    assert "masks * Maß" in words
    for number, name in enumerate(names):
        assert np.array_equal(labels_of(folder, f"{name}.png")[0], classes(number) > 0)
        assert np.array_equal(np.asarray(Image.open(folder / "imagesTr" / f"{name}_0000.png")), picture(number))


def _with_a_second_mask(filled, masks):
    filled((0, 255, 255))
    more = np.zeros_like(classes(1))
    more[30:, :9] = 255
    save(masks / "im1_mask_1.png", more)
    return more > 0


def test_a_second_mask_of_one_image_is_no_class_of_its_own(filled, folders, prepared, refused):
    more = _with_a_second_mask(filled, folders[1])
    two = f"{folders[1] / 'im1_mask.png'} and {folders[1] / 'im1_mask_1.png'}"
    assert f"im1.png has two masks, {two}; keep one, or say what they are" in refused()
    description, words = prepared("--labels", "lesion=*_mask,lesion=*_mask_1")
    assert description["labels"] == {"background": 0, "lesion": 1}
    assert f"masks by class: mask of {N} images, 1 of 1 images" in words
    np.testing.assert_array_equal(labels_of(folders[2])[0], (classes(1) > 0) | more)
    np.testing.assert_array_equal(labels_of(folders[2], "im2.png")[0], classes(2) > 0)


def test_masks_of_objects_in_files_of_their_own_are_no_classes(folders, prepared, refused):
    images, masks, folder = folders
    for number in range(N):
        save(images / f"im{number}.png", picture(number))
        for part in range(1 + number % 2):
            save(masks / f"im{number}_{part}.png", (classes(number) == part + 1).astype(np.uint8))
    two = f"{masks / 'im1_0.png'} and {masks / 'im1_1.png'}"
    assert f"im1.png has two masks, {two}; keep one, or say what they are" in refused()
    description, _ = prepared("--labels", "object=*_0,object=*_1")
    assert description["labels"] == {"background": 0, "object": 1}
    np.testing.assert_array_equal(labels_of(folder)[0], classes(1) > 0)


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_folder_of_masks_inside_of_that_of_the_images(tmp_path, tools, is_linked):
    images, folder = tmp_path / "pictures", tmp_path / "Dataset501_Mine"
    if is_linked:
        images.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (images / "masks").symlink_to(tmp_path / "elsewhere")
    for number in range(N):
        save(images / f"{number}.png", picture(number))
        save(tmp_path / "stored" / f"{number}.png", classes(number))
        (images / "masks").mkdir(exist_ok=True)
        (images / "masks" / f"{number}_mask.png").symlink_to(tmp_path / "stored" / f"{number}.png")
    assert tools.run("folder", images, images / "masks", folder) == 0
    np.testing.assert_array_equal(labels_of(folder, "1.png")[0], classes(1))


def test_masks_of_the_background_make_no_class(folders, prepared):
    images, masks, folder = folders
    for number in range(N):
        save(images / f"{number}.png", picture(number))
        for name, inside in {"Background": classes(number) == 0, "core": classes(number) == 2}.items():
            save(masks / name / f"{number}.png", inside.astype(np.uint8) * 255)
    description, words = prepared()
    assert description["labels"] == {"background": 0, "core": 1}
    assert "labels: core/* is core (1); the rest is background" in words
    np.testing.assert_array_equal(labels_of(folder, "1.png")[0], classes(1) == 2)


@pytest.mark.parametrize("form", ["{0}_{0}.png", "{0}/{0}.png"], ids=["in the file's", "in the folder's"])
def test_numbers_in_names_of_masks_are_no_classes(folders, refused, form):
    images, masks, _ = folders
    for number in range(N):
        save(images / f"{number}.png", picture(number))
        save(masks / form.format(number), (classes(number) > 0).astype(np.uint8))
    two = " and ".join(str(masks / form.format(number)) for number in range(2))
    assert f"names of masks, such as {two}, differ from those of the images by numbers" in refused()


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 128, 64)])
def test_soft_edges_of_colours_are_no_classes(folders, prepared, refused, colour):
    images, masks, _ = folders
    for number in range(N):
        save(images / f"{number}.png", picture(number))
        inside = Image.fromarray((classes(number)[..., None] > 0) * np.array(colour, np.uint8))
        soft = inside.resize((2 * inside.width, 2 * inside.height)).resize(inside.size, Image.Resampling.BILINEAR)
        masks.mkdir(exist_ok=True)
        soft.save(masks / f"{number}.png")
    assert "masks hold colours as close as #" in refused()
    assert "soft edges or JPEG; store them without" in refused()
    description, _ = prepared("--threshold", "64")
    assert description["labels"] == {"background": 0, "foreground": 1}


def test_numbers_of_classes_in_the_red_of_a_pixel_are_classes(filled, folders, prepared):
    filled((0, 0, 0))
    for number in range(N):
        red = classes(number)[..., None] * np.array((7, 0, 0), np.uint8)
        Image.fromarray(red).save(folders[1] / f"im{number}_mask.png")
    assert list(prepared()[0]["labels"]) == ["background", "#070000", "#0e0000"]


def test_forms_that_the_user_names_are_classes(filled, folders, prepared):
    more = _with_a_second_mask(filled, folders[1])
    description, _ = prepared("--mask-name", "*_mask", "--mask-name", "*_mask_1")
    assert description["labels"] == {"background": 0, "mask": 1, "1": 2}
    np.testing.assert_array_equal(labels_of(folders[2])[0], np.where(more, 2, classes(1) > 0))


@pytest.mark.parametrize("first", [True, False])
def test_class_masks_that_overlap_keep_the_later_of_the_labels(folders, prepared, first):
    images, masks, folder = folders
    rng = np.random.default_rng(0)
    wanted = {}
    for number in range(N):
        inside = {name: rng.random(picture(0).shape) < 0.3 for name in ("core", "rim")}
        save(images / f"{number}.png", picture(number))
        for name, mask in inside.items():
            save(masks / name / f"{number}.png", mask.astype(np.uint8) * 255)
        order = ("core", "rim") if first else ("rim", "core")
        wanted[number] = np.where(inside[order[1]], 2, inside[order[0]])
    prepared("--labels", ",".join(f"{name}={name}" for name in order))
    for number, labels in wanted.items():
        np.testing.assert_array_equal(labels_of(folder, f"{number}.png")[0], labels)
