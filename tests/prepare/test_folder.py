"""A folder of images and a folder of masks become a data set: pairs, values, formats, splits, the contact sheet."""

from __future__ import annotations

import json
import re

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from swin_umamba.common.errors import UserError
from swin_umamba.common.images.reading import read_stored
from swin_umamba.datasets import check_cases, open_raw_dataset
from swin_umamba.datasets.group_folds import with_groups
from swin_umamba.evaluation import evaluate_folders
from swin_umamba.figures.palette import class_colour
from swin_umamba.prepare.folder.pairing import list_images, pair_files
from swin_umamba.prepare.folder.splits import choose_test_cases

N = 6
SIZE = (40, 56)


def picture(number, colour=False, dtype=np.uint8):
    rng = np.random.default_rng(number)
    return rng.integers(0, np.iinfo(dtype).max, (*SIZE, 3) if colour else SIZE).astype(dtype)


def classes(number):
    """Labels 0, 1 and 2."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[5:25, 3 + number : 30] = 1
    labels[10:20, 10:20] = 2
    return labels


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path, **options)


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "pictures", tmp_path / "masks", tmp_path / "Dataset501_Mine"


@pytest.fixture
def filled(folders):
    """Write images, and masks whose values are those of ``values`` in the place of the labels."""
    images, masks, _ = folders

    def fill(values=(0, 1, 2), mask_name="{}_mask.png", image_name="{}.png", colour=False):
        for number in range(N):
            save(images / image_name.format(f"im{number}"), picture(number, colour))
            save(masks / mask_name.format(f"im{number}"), np.array(values, dtype=np.uint8)[classes(number)])

    return fill


@pytest.fixture
def prepared(folders, tools, capsys):
    """Prepare; want success, untouched sources and a data set that training takes; return its description and words."""
    images, masks, folder = folders

    def prepare(*options):
        before = [tools.contents(source) for source in (images, masks)]
        capsys.readouterr()
        assert tools.run("folder", images, masks, folder, *options) == 0, capsys.readouterr().err
        words = " ".join(capsys.readouterr().out.split())
        assert [tools.contents(source) for source in (images, masks)] == before
        dataset = open_raw_dataset(folder)
        check_cases(dataset, [*dataset.training, *dataset.held_out])
        assert Image.open(folder / "contact_sheet.png").size[0] > 500
        return json.loads((folder / "dataset.json").read_text()), words

    return prepare


@pytest.fixture
def refused(folders, tools, capsys):
    """Prepare; want exit code 2 and nothing written; return the message, which may be of several faults."""

    def refuse(*options):
        capsys.readouterr()
        assert tools.run("folder", *folders, *options) == 2
        assert not folders[2].exists()
        return capsys.readouterr().err

    return refuse


def labels_of(folder, name="im1.png", part="labelsTr"):
    return read_stored(folder / part / name, labels=True).values[0]


NAMES = {
    "the same": ("{}", ["{}"], "*", ["*"]),
    "a suffix": ("{}", ["{}_mask"], "*", ["*_mask"]),
    "a prefix": ("{}", ["seg-{}"], "*", ["seg-*"]),
    "more in the images": ("{}_img", ["{}"], "*_img", ["*"]),
    "more in both": ("img_{}", ["mask_{}"], "img_*", ["mask_*"]),
    "nnU-Net's": ("{}_0000", ["{}"], "*_0000", ["*"]),
    "a suffix each": ("case{}_image", ["case{}_label"], "*_image", ["*_label"]),
    "classes by suffix": ("{}", ["{}_core", "{}_rim"], "*", ["*_core", "*_rim"]),
    "classes by folder": ("{}", ["core/{}", "rim/{}"], "*", ["core/*", "rim/*"]),
    "folders of patients": ("p/{}", ["p/{}_mask"], "*", ["*_mask"]),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("n", [2, 12])
def test_forms_of_names_are_found(tmp_path, names, n):
    image_name, mask_names, image_form, mask_forms = names
    numbers = [str(number) for number in range(1, n + 1)]
    for number in numbers:
        for folder, name in [("a", image_name), *(("b", name) for name in mask_names)]:
            path = tmp_path / folder / f"{name.format(number)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    pairing = pair_files(list_images(tmp_path / "a"), list_images(tmp_path / "b"))
    assert (pairing.lonely_images, pairing.lonely_masks) == ([], [])
    assert len(pairing.pairs) == n
    for pair in pairing.pairs:
        # The number is the only one in both names.
        (number,) = [one for one in numbers if pair.image.stem == image_name.format(one).split("/")[-1]]
        assert {path.relative_to(tmp_path / "b").as_posix() for path in pair.masks.values()} == {
            f"{name.format(number)}.png" for name in mask_names
        }
    if n > 2:
        assert str(pairing.image_form) == image_form
        assert sorted(map(str, pairing.mask_forms)) == mask_forms


def test_masks_of_0_and_255(filled, prepared, folders):
    filled((0, 255, 255))
    description, words = prepared()
    assert description["labels"] == {"background": 0, "foreground": 1}
    assert description["channel_names"] == {"0": "image"}
    assert "with masks *_mask" in words
    assert "255 is foreground (1)" in words
    np.testing.assert_array_equal(labels_of(folders[2])[0], classes(1) > 0)
    copied = folders[2] / "imagesTr" / "im1_0000.png"
    assert copied.read_bytes() == (folders[0] / "im1.png").read_bytes()


def test_values_by_name_in_the_order_given(filled, prepared, folders):
    filled((0, 85, 170))
    description, _ = prepared("--labels", "core=170,rim=85")
    assert description["labels"] == {"background": 0, "core": 1, "rim": 2}
    np.testing.assert_array_equal(labels_of(folders[2])[0], np.array([0, 2, 1])[classes(1)])


def test_values_without_names(filled, prepared):
    filled((0, 85, 170))
    assert prepared()[0]["labels"] == {"background": 0, "label 85": 1, "label 170": 2}


def test_labels_with_gaps_are_refused_by_training_and_closed_by_preparing(filled, prepared, folders, tools, tmp_path):
    """Neither is one set scored against the other."""
    filled(values=(0, 2, 5))
    images, masks, folder = folders
    former = tmp_path / "Dataset500_Gaps"
    described = {"channel_names": {"0": "x"}, "labels": {"background": 0, "a": 2, "b": 5}, "numTraining": N}
    for place, source, suffix in (("imagesTr", images, "_0000"), ("labelsTr", masks, "")):
        for path in source.iterdir():
            save(former / place / f"{path.stem.removesuffix('_mask')}{suffix}.png", np.asarray(Image.open(path)))
    (former / "dataset.json").write_text(json.dumps({**described, "file_ending": ".png"}))
    wanted = r"got \[0, 2, 5\]; write them so in dataset.json and in the label images, as `swin-umamba prepare folder "
    with pytest.raises(UserError, match=wanted):
        open_raw_dataset(former)
    description, _ = prepared("--labels", "a=2,b=5")
    assert description["labels"] == {"background": 0, "a": 1, "b": 2}
    assert (labels_of(folder) == classes(1)).all()
    both = (former / "labelsTr", folder / "labelsTr")
    for reference, prediction in (both, both[::-1]):
        with pytest.raises(UserError, match=r"labels that the data set does not have: [15]; known are"):
            evaluate_folders(reference, prediction, "labels", dataset_json=reference.parent / "dataset.json")
    same = evaluate_folders(former / "labelsTr", former / "labelsTr", "labels", dataset_json=former / "dataset.json")
    assert same.classes == ("a", "b")


def test_background_and_ignored_values(filled, prepared, folders):
    filled((255, 0, 7))
    description, _ = prepared("--labels", "ignore=7,core=0,background=255")
    assert description["labels"] == {"background": 0, "core": 1, "ignore": 2}
    np.testing.assert_array_equal(labels_of(folders[2])[0], classes(1))


@pytest.mark.parametrize("table", ["name,r,g,b\ncore,255,0,0\nrim,0,0,255\n", "core;#FF0000\nrim;#0000ff\n"])
def test_colours_by_a_table(folders, prepared, table, tmp_path):
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255)], dtype=np.uint8)
    for number in range(N):
        save(folders[0] / f"{number}.png", picture(number))
        # One mask is empty, and stored in grey.
        labels = classes(number) if number != 2 else np.zeros(SIZE, dtype=np.uint8)
        save(folders[1] / f"{number}.png", colours[labels] if number != 2 else labels)
    (tmp_path / "labels.csv").write_text(table)
    description, words = prepared("--labels", tmp_path / "labels.csv")
    assert description["labels"] == {"background": 0, "core": 1, "rim": 2}
    assert "#ff0000 is core (1)" in words
    np.testing.assert_array_equal(labels_of(folders[2], "1.png")[0], classes(1))
    assert labels_of(folders[2], "2.png").max() == 0


@pytest.mark.parametrize("by_colour", [False, True])
def test_palettes(folders, prepared, by_colour):
    for number in range(N):
        save(folders[0] / f"{number}.png", picture(number))
        mask = Image.fromarray(classes(number)).convert("P")
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        mask.save((folders[1].mkdir(exist_ok=True) or folders[1]) / f"{number}.png")
    description, _ = prepared("--labels", "b=#00ff00,a=#ff0000" if by_colour else "b=2,a=1")
    assert description["labels"] == {"background": 0, "b": 1, "a": 2}
    np.testing.assert_array_equal(labels_of(folders[2], "1.png")[0], np.array([0, 2, 1])[classes(1)])


def test_palettes_of_other_orders_are_refused_by_index_and_taken_by_colour(folders, refused, prepared):
    for number in range(N):
        save(folders[0] / f"{number}.png", picture(number))
        turned = number % 2
        mask = Image.fromarray(np.array([0, 2, 1], dtype=np.uint8)[classes(number)] if turned else classes(number))
        mask = mask.convert("P")
        mask.putpalette([0, 0, 0, 0, 255, 0, 255, 0, 0] if turned else [0, 0, 0, 255, 0, 0, 0, 255, 0])
        mask.save((folders[1].mkdir(exist_ok=True) or folders[1]) / f"{number}.png")
    assert "has another palette than" in refused()
    prepared("--labels", "a=#ff0000,b=#00ff00")
    np.testing.assert_array_equal(labels_of(folders[2], "1.png")[0], classes(1))
    np.testing.assert_array_equal(labels_of(folders[2], "2.png")[0], classes(2))


@pytest.mark.parametrize("form", ["{kind}/{name}.png", "{name}_{kind}.png"])
def test_a_mask_for_each_class(folders, prepared, form):
    for number in range(N):
        save(folders[0] / f"im{number}.png", picture(number))
        for label, kind in enumerate(("rim", "core"), start=1):
            # The rim's mask is filled, so that both overlap; one image has no core.
            inside = classes(number) >= label
            if not (number == 2 and kind == "core"):
                save(folders[1] / form.format(kind=kind, name=f"im{number}"), inside.astype(np.uint8) * 255)
    description, words = prepared("--labels", "rim=rim,core=core")
    assert description["labels"] == {"background": 0, "rim": 1, "core": 2}
    assert "classes overlap in 5 cases; there the later one of the list is kept" in words
    np.testing.assert_array_equal(labels_of(folders[2])[0], classes(1))
    np.testing.assert_array_equal(labels_of(folders[2], "im2.png")[0], classes(2) > 0)


def test_jpeg_images_become_png_of_the_same_pixels(filled, prepared, folders):
    filled(image_name="{}.jpg", colour=True)
    description, _ = prepared()
    assert description["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    stored = np.asarray(Image.open(folders[2] / "imagesTr" / "im1_0000.png"))
    np.testing.assert_array_equal(stored, np.asarray(Image.open(folders[0] / "im1.jpg")))


def test_jpeg_masks_need_a_threshold(filled, refused, prepared, folders):
    filled((0, 255, 255), mask_name="{}.jpg")
    assert "--threshold 128" in refused()
    prepared("--threshold", 128)
    assert (labels_of(folders[2])[0] != (classes(1) > 0)).mean() < 0.02


def test_grey_in_colour_files_becomes_grey(folders, filled, prepared):
    filled()
    save(folders[0] / "im3.png", np.dstack([picture(3)] * 3))
    save(folders[0] / "im4.png", np.dstack([picture(4)] * 3 + [np.full(SIZE, 255, dtype=np.uint8)]))
    description, words = prepared()
    assert description["channel_names"] == {"0": "image"}
    assert "stored as grey" in words
    for number in (3, 4):
        stored = read_stored(folders[2] / "imagesTr" / f"im{number}_0000.png").values
        np.testing.assert_array_equal(stored[:, 0], picture(number)[None])


def test_one_colour_image_makes_all_colour(folders, filled, prepared):
    filled()
    save(folders[0] / "im3.png", picture(3, colour=True))
    description, words = prepared()
    assert len(description["channel_names"]) == 3
    assert "5 of 6 images are grey" in words
    stored = read_stored(folders[2] / "imagesTr" / "im1_0000.png").values
    np.testing.assert_array_equal(stored[:, 0], np.stack([picture(1)] * 3))


@pytest.mark.parametrize(
    ("ending", "dtype", "stored"),
    [("png", np.uint16, ".png"), ("tif", np.uint16, ".png"), ("tif", np.float32, ".tif"), ("bmp", np.uint8, ".png")],
)
def test_values_are_kept(folders, filled, prepared, ending, dtype, stored):
    filled()
    for number in range(N):
        (folders[0] / f"im{number}.png").unlink()
        values = picture(number, dtype=np.uint16 if dtype != np.uint8 else np.uint8).astype(dtype)
        save(folders[0] / f"im{number}.{ending}", values / 7 if dtype == np.float32 else values)
    description, _ = prepared()
    assert description["file_ending"] == stored
    before, after = (
        read_stored(path).values for path in (folders[0] / f"im1.{ending}", folders[2] / f"imagesTr/im1_0000{stored}")
    )
    np.testing.assert_array_equal(before, after)


def test_nifti_keeps_its_place(folders, prepared):
    affine = np.array([[0, -0.5, 0, 10], [0.7, 0, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]], dtype=float)
    for number in range(N):
        for folder, values, ending in (
            (folders[0], np.stack([picture(number)] * 3, axis=2).astype(np.int16), "nii" if number == 1 else "nii.gz"),
            (folders[1], np.stack([classes(number)] * 3, axis=2) * np.uint8(100), "nii.gz"),
        ):
            folder.mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(values, affine), folder / f"im{number}.{ending}")
    description, _ = prepared("--labels", "a=100,b=200")
    assert description["file_ending"] == ".nii.gz"
    image, label = (nibabel.load(folders[2] / name) for name in ("imagesTr/im1_0000.nii.gz", "labelsTr/im1.nii.gz"))
    np.testing.assert_array_equal(np.asarray(label.dataobj), np.stack([classes(1)] * 3, axis=2))
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0], picture(1))
    np.testing.assert_allclose(image.affine, affine)
    np.testing.assert_array_equal(label.affine, image.affine)


def test_groups_stay_together(folders, prepared):
    for number in range(20):
        save(folders[0] / f"p{number // 4}_{number}.png", picture(number))
        save(folders[1] / f"p{number // 4}_{number}.png", classes(number % 6))
    _, words = prepared("--group-by", r"p\d+", "--test-share", 0.2)
    assert "16 training cases, 4 test cases, 5 groups" in words
    assert "--group-by prepared" in words
    dataset = open_raw_dataset(folders[2])
    grouped = with_groups(dataset, "prepared")
    assert dict(grouped.groups) == {case: case.split("_")[0] for case in sorted(grouped.groups)}
    patients = [case.identifier.split("_")[0] for case in dataset.held_out]
    assert len(set(patients)) == 1
    assert len(dataset.splits) == 4
    for fold in dataset.splits:
        held, trained = ({case.split("_")[0] for case in fold[part]} for part in ("val", "train"))
        assert len(held) == 1
        assert not held & trained
        assert not set(patients) & (held | trained)
    assert sorted(case for fold in dataset.splits for case in fold["val"]) == sorted(
        case.identifier for case in dataset.training
    )


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_shares_of_uneven_groups(share):
    groups = {f"{group}-{case}": str(group) for group in range(12) for case in range(1 + group % 4)}
    test = choose_test_cases(groups, share)
    assert abs(len(test) - share * len(groups)) <= 4
    assert {groups[case] for case in test}.isdisjoint(groups[case] for case in groups if case not in test)


def test_the_same_command_again_writes_nothing_and_other_options_are_refused(filled, prepared, folders, tools):
    filled((0, 100, 200))
    assert "12 files written, 0 were there" in prepared()[1]
    before = tools.contents(folders[2])
    assert "0 files written, 12 were there" in prepared()[1]
    assert tools.contents(folders[2]) == before
    assert "was prepared otherwise" in tools.refused("folder", *folders, "--labels", "a=200,b=100")
    assert tools.contents(folders[2]) == before


def test_the_contact_sheet_shows_the_labels(filled, prepared, folders):
    filled()
    prepared()
    sheet = np.asarray(Image.open(folders[2] / "contact_sheet.png").convert("RGB")).astype(int)
    # The images are grey; a fifth of each is labelled.
    for warm in (False, True):
        shown = (sheet[..., 0] - sheet[..., 2]) * (1 if warm else -1) > 40
        assert shown.sum() > 15_000, class_colour(0 if warm else 1)


def test_lonely_files_are_told_or_left_out(filled, refused, prepared, folders):
    filled()
    (folders[1] / "im3_mask.png").unlink()
    assert "im3.png has no mask in" in refused()
    assert "left out: 1 images without mask" in prepared("--skip-unpaired")[1]


def test_one_folder_for_both(filled, folders, tools, capsys):
    filled()
    for path in folders[1].iterdir():
        path.rename(folders[0] / path.name)
    assert "is given for images and masks" in tools.refused("folder", folders[0], folders[0], folders[2])
    assert tools.run("folder", folders[0], folders[0], folders[2], "--mask-name", "*_mask") == 0
    assert len(open_raw_dataset(folders[2]).training) == N


WRONG = {
    "no pairs": (
        lambda i, m: [p.rename(m / f"{n}.png") for n, p in zip("abcdef", m.iterdir(), strict=True)],
        (),
        "share a name",
    ),
    "another size": (
        lambda i, m: save(m / "im3_mask.png", classes(3)[:30]),
        (),
        "im3.png has size 40×56 but its mask .*im3_mask.png has size 30×56",
    ),
    "not readable": (lambda i, m: (m / "im3_mask.png").write_bytes(b"x"), (), "im3_mask.png cannot be read"),
    "no value": (lambda i, m: None, ("--labels", "a=1"), "hold the value 2, which --labels does not name, such as"),
    "no colour": (lambda i, m: None, ("--labels", "a=#ff0000,b=#00ff00"), "#010101, #020202, which --labels"),
    "no pair of name and value": (lambda i, m: None, ("--labels", "a"), "is not NAME=VALUE"),
    "one value twice": (lambda i, m: None, ("--labels", "a=1,b=1,c=2"), "names the value 1 twice, a and b"),
    "no number": (lambda i, m: None, ("--labels", "a=x,b=2"), "no whole number and no colour"),
    "no class": (lambda i, m: None, ("--labels", "background=1,ignore=2"), "names no class"),
    "no table": (lambda i, m: None, ("--labels", "gone.csv"), "cannot read the table gone.csv"),
    "no group": (lambda i, m: None, ("--group-by", "q"), "does not match 6 of 6 cases, such as im0"),
    "one group": (lambda i, m: None, ("--group-by", "im", "--test-share", "0.2"), "needs two groups at least"),
    "no star": (lambda i, m: None, ("--mask-name", "_mask"), "is no form of names"),
    "shades": (lambda i, m: save(m / "im3_mask.png", picture(3)), (), "more than 64 different values"),
    "soft edges": (
        lambda i, m: save(m / "im3_mask.png", np.array([0, 253, 255], dtype=np.uint8)[classes(3)]),
        (),
        "hold 255 and values just below, such as 253 in .*--threshold 128",
    ),
    "empty": (
        lambda i, m: [save(p, np.zeros(SIZE, dtype=np.uint8)) for p in m.iterdir()],
        (),
        "all masks are empty",
    ),
    "transparent": (lambda i, m: save(i / "im3.png", np.dstack([picture(1, True), picture(1)])), (), "transparent"),
    "other kinds": (
        lambda i, m: [
            tifffile.imwrite(p.with_suffix(".tif"), np.stack([a] * 3), photometric="minisblack") or p.unlink()
            for p, a in ((i / "im3.png", picture(3)), (m / "im3_mask.png", classes(3)))
        ],
        (),
        "images are of different kinds",
    ),
    "no images": (lambda i, m: [p.unlink() for p in i.iterdir()], (), "holds no image; known endings are"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_folders(filled, refused, folders, wrong):
    filled()
    spoil, options, message = wrong
    spoil(*folders[:2])
    assert re.search(message, refused(*options))


def test_the_destination_is_named_as_nnunet_wants(filled, folders, tools, tmp_path):
    filled()
    message = tools.refused("folder", *folders[:2], tmp_path / "mine")
    assert "named DatasetXXX_Name with three digits, such as" in message
