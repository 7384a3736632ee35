"""Bad data sets: each is refused with one line that names the file and the fault."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from skimage.io import imread, imsave
from swin_umamba.common.errors import Faults, UserError
from swin_umamba.common.exit_codes import execute
from swin_umamba.datasets import check_cases, open_raw_dataset
from swin_umamba.datasets.raw_dataset import check_fold


def _check(folder: Path):
    dataset = open_raw_dataset(folder)
    check_cases(dataset, [*dataset.training, *dataset.held_out])


def _describe(folder: Path, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _write(path: Path, image):
    imsave(path, image, check_contrast=False)


def _no_description(folder):
    (folder / "dataset.json").unlink()


def _broken_description(folder):
    (folder / "dataset.json").write_text("{")


def _no_images(folder):
    for path in (folder / "imagesTr").iterdir():
        path.unlink()


def _no_image_folder(folder):
    _no_images(folder)
    (folder / "imagesTr").rmdir()


def _missing_label(folder):
    (folder / "labelsTr" / "disc_tr3.png").unlink()


def _missing_held_out_label(folder):
    (folder / "labelsTs" / "disc_ts1.png").unlink()


def _label_without_image(folder):
    _copy(folder / "labelsTr" / "disc_tr3.png", "zz.png")


def _held_out_label_without_image(folder):
    _copy(folder / "labelsTs" / "disc_ts1.png", "zz.png")


def _copy(path, name):
    path.with_name(name).write_bytes(path.read_bytes())


def _badly_named_image(folder):
    (folder / "imagesTr" / "disc_tr2_0000.png").rename(folder / "imagesTr" / "disc_tr2.png")


def _too_many_channels(folder):
    for case in range(6):
        image = folder / "imagesTr" / f"disc_tr{case}_0000.png"
        image.with_name(f"disc_tr{case}_0001.png").write_bytes(image.read_bytes())


def _wrong_count(folder):
    _describe(folder, numTraining=7)


def _labels_with_a_gap(folder):
    _describe(folder, labels={"background": 0, "rim": 1, "core": 3})


def _no_background(folder):
    _describe(folder, labels={"rim": 1, "core": 2})


def _unknown_case_in_splits(folder):
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["disc_tr0"], "val": ["disc_tr9"]}]))


def _doubled_case_in_splits(folder):
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["disc_tr0"] * 2, "val": ["disc_tr1"]}]))


def _other_size(folder):
    path = folder / "labelsTr" / "disc_tr4.png"
    _write(path, imread(path)[:-1])


def _unknown_label(folder):
    path = folder / "labelsTr" / "disc_tr4.png"
    label = imread(path)
    label[0, 0] = 7
    _write(path, label)


def _clear(label):
    _write(label, np.zeros_like(imread(label)))


def _background_alone(folder):
    for label in (folder / "labelsTr").iterdir():
        _clear(label)


def _unreadable_image(folder):
    path = folder / "imagesTr" / "disc_tr4_0000.png"
    path.write_bytes(path.read_bytes()[:40])


def _unreadable_first_image(folder):
    (folder / "imagesTr" / "disc_tr0_0000.png").write_bytes(b"no image")


def _unreadable_label(folder):
    (folder / "labelsTr" / "disc_tr0.png").write_bytes(b"no image")


def _rgb_for_one_channel(folder):
    path = folder / "imagesTr" / "disc_tr4_0000.png"
    _write(path, np.repeat(imread(path)[:, :, None], 3, axis=2))


def _unknown_ending(folder):
    _describe(folder, file_ending=".xyz")
    for path in [*(folder / "imagesTr").iterdir(), *(folder / "labelsTr").iterdir()]:
        path.rename(path.with_suffix(".xyz"))
    for path in [*(folder / "imagesTs").iterdir(), *(folder / "labelsTs").iterdir()]:
        path.unlink()


FAULTS = {
    _no_description: "not an nnU-Net raw data set: it has no dataset.json",
    _broken_description: "cannot read .*dataset.json",
    _no_images: "imagesTr has no file CASE_0000.png",
    _no_image_folder: "not an nnU-Net raw data set: it has no imagesTr",
    _missing_label: "missing label file .*disc_tr3.png",
    _missing_held_out_label: "missing label file .*disc_ts1.png",
    _label_without_image: "label .*labelsTr/zz.png has no image .*imagesTr/zz_0000.png; add the image, or take",
    _held_out_label_without_image: "label .*labelsTs/zz.png has no image .*imagesTs/zz_0000.png",
    _badly_named_image: "disc_tr2.png is not named CASE_0000.png",
    _too_many_channels: r"disc_tr0 .* has the channels \[0, 1\], dataset.json wants \[0\]",
    _wrong_count: "numTraining = 7, there are 6 training cases",
    _labels_with_a_gap: r"without gaps, got \[0, 1, 3\]",
    _no_background: "wrong 'labels': Background label not declared",
    _unknown_case_in_splits: "splits_final.json names the case 'disc_tr9'",
    _doubled_case_in_splits: "names the case 'disc_tr0' more than once in 'train' of the fold 0; name it once",
    _other_size: "disc_tr4_0000.png has size 44×40 but its label .*disc_tr4.png has size 43×40",
    _unknown_label: "disc_tr4.png holds the value 7, which dataset.json does not name",
    _background_alone: "no label of the 6 training cases .* holds any of rim, core",
    _unreadable_image: "cannot read image .*disc_tr4_0000.png",
    _unreadable_first_image: "cannot read image .*disc_tr0_0000.png",
    _unreadable_label: "cannot read label .*disc_tr0.png",
    _rgb_for_one_channel: "disc_tr4_0000.png has 3 channels, dataset.json names 1",
    _unknown_ending: "reads no '.xyz' files",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_is_named_in_one_line(make_data_set, tmp_path, fault):
    folder = make_data_set(tmp_path, held_out=2)
    fault(folder)
    with pytest.raises(UserError, match=FAULTS[fault]) as caught:
        _check(folder)
    assert "\n" not in str(caught.value)


def test_a_good_data_set_passes_and_every_case_is_counted(make_data_set, tmp_path):
    dataset = open_raw_dataset(make_data_set(tmp_path, held_out=2))
    done = []
    check_cases(dataset, [*dataset.training, *dataset.held_out], lambda: done.append(1))
    assert len(done) == 8
    assert [case.identifier for case in dataset.held_out] == ["disc_ts0", "disc_ts1"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        open_raw_dataset(tmp_path / "Dataset001_None")


def test_the_name_must_be_nnunets(make_data_set, tmp_path):
    folder = make_data_set(tmp_path).rename(tmp_path / "discs")
    with pytest.raises(UserError, match=r"DatasetXXX_Name .*'discs'"):
        open_raw_dataset(folder)


def test_images_of_one_rgb_file(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    _describe(folder, channel_names={"0": "R", "1": "G", "2": "B"})
    for path in (folder / "imagesTr").iterdir():
        _write(path, np.repeat(imread(path)[:, :, None], 3, axis=2))
    dataset = open_raw_dataset(folder)
    check_cases(dataset, dataset.training)


def test_the_name_of_a_linked_folder_is_that_of_the_link(make_data_set, tmp_path):
    (tmp_path / "store").mkdir()
    store = make_data_set(tmp_path / "store").rename(tmp_path / "store" / "grey_v3")
    link = tmp_path / "Dataset108_Grey"
    link.symlink_to(store, target_is_directory=True)
    dataset = open_raw_dataset(link)
    assert (dataset.name, dataset.folder) == ("Dataset108_Grey", link)
    check_cases(dataset, dataset.training)


def test_hidden_files_are_no_labels(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    (folder / "labelsTr" / "._disc_tr0.png").write_bytes(b"written by another system")
    _check(folder)


def _as_volumes(folder: Path, ending: str, channels: int = 1):
    """Make float32 volumes of three slices of a data set's PNG images."""
    for path in [*folder.glob("imagesT[rs]/*.png"), *folder.glob("labelsT[rs]/*.png")]:
        volume = SimpleITK.GetImageFromArray(np.stack([imread(path)] * 3).astype(np.float32))
        volume.SetSpacing((0.5, 0.5, 4))
        names = [f"{path.stem[:-1]}{channel}" for channel in range(channels)] if "images" in str(path) else [path.stem]
        for name in names:
            SimpleITK.WriteImage(volume, str(path.with_name(name + ending)))
        path.unlink()
    _describe(folder, file_ending=ending, channel_names={str(channel): f"c{channel}" for channel in range(channels)})


def _change(path: Path, change):
    volume = SimpleITK.ReadImage(str(path))
    SimpleITK.WriteImage(change(volume) or volume, str(path))


def test_nifti_volumes_with_spacing(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    _as_volumes(folder, ".nii.gz")
    _check(folder)
    _change(folder / "labelsTr" / "disc_tr2.nii.gz", lambda volume: volume.SetSpacing((0.5, 0.5, 3)))
    with pytest.raises(UserError, match=r"disc_tr2_0000.nii.gz has spacing .*disc_tr2.nii.gz has"):
        _check(folder)


def _shift(distance: float):
    return lambda volume: volume.SetOrigin((distance, 0, 0))


def _rotate(volume):
    volume.SetDirection((0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1))


@pytest.mark.parametrize("reader", ["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient"])
@pytest.mark.parametrize(
    ("file", "what"),
    [("labelsTr/disc_tr2.nii.gz", "its label"), ("imagesTr/disc_tr2_0001.nii.gz", "its other channel")],
)
def test_files_of_a_case_that_lie_elsewhere(make_data_set, tmp_path, file, what, reader):
    folder = make_data_set(tmp_path)
    _as_volumes(folder, ".nii.gz", channels=2)
    _describe(folder, overwrite_image_reader_writer=reader)
    # Less than half a voxel: the last digits of a header.
    _change(folder / file, _shift(0.2))
    _check(folder)
    _change(folder / file, _shift(30))
    with pytest.raises(UserError, match=rf"disc_tr2_0000.nii.gz and {what} .*{Path(file).name} lie up to 30 mm apart"):
        _check(folder)
    _change(folder / file, _shift(0))
    _check(folder)
    _change(folder / file, _rotate)
    with pytest.raises(UserError, match=rf"and {what} .*{Path(file).name} lie up to .* mm apart"):
        _check(folder)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_other_volumes_have_a_position_too(make_data_set, tmp_path, ending):
    folder = make_data_set(tmp_path)
    _as_volumes(folder, ending)
    _check(folder)
    _change(folder / "labelsTr" / f"disc_tr2{ending}", _shift(-7))
    with pytest.raises(UserError, match="lie up to 7 mm apart"):
        _check(folder)


def test_channels_of_other_size_or_spacing_are_named(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    _as_volumes(folder, ".nii.gz", channels=2)
    _check(folder)
    path = folder / "imagesTr" / "disc_tr2_0001.nii.gz"
    before = path.read_bytes()
    _change(path, lambda volume: volume[:, :, :2])
    with pytest.raises(UserError, match=r"has size 3×44×40 but its other channel .*disc_tr2_0001.nii.gz has size 2×44"):
        _check(folder)
    path.write_bytes(before)
    _change(path, lambda volume: volume.SetSpacing((0.5, 0.6, 4)))
    with pytest.raises(UserError, match=r"has spacing .* but its other channel .*disc_tr2_0001.nii.gz has"):
        _check(folder)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("file", ["image {}/imagesTr/disc_tr1_0000", "label {}/labelsTr/disc_tr1"])
def test_volumes_with_values_that_are_not_finite(make_data_set, tmp_path, file, value, ending):
    """ITK makes 0 of those in NIfTI when it reads them."""
    folder = make_data_set(tmp_path)
    _as_volumes(folder, ending)
    _check(folder)

    def spoil(volume):
        volume[3, 4, 2] = float(value)

    named = file.format(folder) + ending
    _change(Path(named.split(maxsplit=1)[1]), spoil)
    with pytest.raises(UserError, match=f"{named} holds NaN or infinite values"):
        _check(folder)


def test_values_that_are_not_finite(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    for path in [*(folder / "imagesTr").iterdir(), *(folder / "labelsTr").iterdir()]:
        array = imread(path).astype(np.float32)
        if path.name == "disc_tr1_0000.png":
            array[3, 3] = np.nan
        _write(path.with_suffix(".tif"), array)
        path.unlink()
    _describe(folder, file_ending=".tif")
    dataset = open_raw_dataset(folder)
    with pytest.raises(UserError, match=r"disc_tr1_0000.tif holds NaN or infinite values"):
        check_cases(dataset, dataset.training)


def test_colours_that_were_divided_before(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    for path in [*(folder / "imagesTr").iterdir(), *(folder / "labelsTr").iterdir()]:
        array = imread(path)
        _write(path.with_suffix(".tif"), array if "labels" in str(path) else array.astype(np.float32) / 255)
        path.unlink()
    _describe(folder, file_ending=".tif")
    names = open_raw_dataset(folder).description["channel_names"]
    _check(folder)
    _describe(folder, channel_names=dict.fromkeys(names, "RGB_to_0_1"))
    with pytest.raises(
        UserError, match=r"disc_tr\d_0000.tif holds values from 0\.\d+ to 0\.\d+, where 'rgb_to_0_1' wants 0 to 255"
    ):
        _check(folder)


def test_files_listed_in_the_description(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    listed = {
        f"case{i}": {"images": [f"imagesTr/disc_tr{i}_0000.png"], "label": f"labelsTr/disc_tr{i}.png"} for i in range(6)
    }
    _describe(folder, dataset=listed)
    dataset = open_raw_dataset(folder)
    assert [case.identifier for case in dataset.training] == list(listed)
    check_cases(dataset, dataset.training)
    (folder / "labelsTr" / "disc_tr5.png").unlink()
    with pytest.raises(UserError, match=r"missing label file .*disc_tr5.png of the case case5"):
        open_raw_dataset(folder)


@pytest.mark.parametrize(
    ("training", "fold", "reason"),
    [
        (4, 0, "at least 5 training cases"),
        (4, "all", None),
        (6, 4, None),
        (6, 5, "--fold 5: nnU-Net makes 5 folds, counted from 0"),
    ],
)
def test_five_folds_need_five_cases(make_data_set, tmp_path, training, fold, reason):
    dataset = open_raw_dataset(make_data_set(tmp_path, training=training))
    if reason is None:
        check_fold(dataset, fold)
    else:
        with pytest.raises(UserError, match=reason):
            check_fold(dataset, fold)


def test_a_fold_beyond_the_splits_file(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["disc_tr0"], "val": ["disc_tr1"]}]))
    dataset = open_raw_dataset(folder)
    check_fold(dataset, 0)
    with pytest.raises(UserError, match="only 1 folds"):
        check_fold(dataset, 1)


def test_a_case_that_is_trained_on_is_not_held_out(make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    splits = [{"train": ["disc_tr0"], "val": ["disc_tr1"]}, {"train": ["disc_tr0", "disc_tr1"], "val": ["disc_tr1"]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    dataset = open_raw_dataset(folder)
    check_fold(dataset, 0)
    check_fold(dataset, "all")
    with pytest.raises(UserError, match=r"--fold 1: .* has the case 'disc_tr1' in both 'train' and 'val'"):
        check_fold(dataset, 1)


def test_one_training_label_with_foreground_will_do(make_data_set, tmp_path):
    folder = make_data_set(tmp_path, held_out=2)
    for case in range(1, 6):
        _clear(folder / "labelsTr" / f"disc_tr{case}.png")
    _check(folder)
    # The test cases alone say nothing about the training.
    _clear(folder / "labelsTr" / "disc_tr0.png")
    dataset = open_raw_dataset(folder)
    check_cases(dataset, dataset.held_out)


def test_a_case_that_stands_in_both_folders_is_refused(make_data_set, tmp_path):
    folder = make_data_set(tmp_path, held_out=2)
    for part in ("images", "labels"):
        for path in (folder / f"{part}Ts").glob("disc_ts0*"):
            former = folder / f"{part}Tr" / path.name.replace("ts0", "tr0")
            path.rename(path.with_name(former.name))  # the name alone says nothing
    _check(folder)
    for path in (folder / "imagesTs").glob("disc_tr0*"):
        _write(path, imread(folder / "imagesTr" / path.name))
    with pytest.raises(UserError, match=r"the case disc_tr0 stands in imagesTr and in imagesTs, .* take it out of one"):
        _check(folder)


@pytest.mark.parametrize("ending", [".PNG", ".tif", ".nii.gz"])
def test_a_case_of_another_ending_is_not_left_out_without_a_word(make_data_set, tmp_path, ending):
    folder = make_data_set(tmp_path)
    _describe(folder, numTraining=5)
    for path in (folder / "imagesTr" / "disc_tr2_0000.png", folder / "labelsTr" / "disc_tr2.png"):
        path.rename(path.with_name(path.name.replace(".png", ending)))
    with pytest.raises(UserError, match=rf"disc_tr2_0000{ending} does not end in '.png', .* would be left out"):
        open_raw_dataset(folder)
    # A preview of a case that is there is none.
    for path in [*folder.glob("*/disc_tr2*")]:
        path.rename(path.with_name(path.name.replace("tr2", "tr1")))
    _check(folder)


def test_all_faults_of_a_data_set_are_told_together(make_data_set, tmp_path):
    folder = make_data_set(tmp_path, held_out=2)
    for fault in (_missing_label, _unreadable_image, _unreadable_label, _held_out_label_without_image):
        fault(folder)
    path = folder / "labelsTr" / "disc_tr1.png"
    _write(path, imread(path)[:-1] * 100)
    faults = Faults()
    dataset = open_raw_dataset(folder, faults)
    with pytest.raises(UserError) as caught:
        check_cases(dataset, [*dataset.training, *dataset.held_out], faults=faults)
    assert caught.value.lines[0] == "Dataset901_Discs has 6 faults:"
    told = "\n".join(caught.value.lines)
    for file in ("disc_tr3.png", "zz.png", "image .*disc_tr4_0000.png", "label .*disc_tr0.png"):
        assert re.search(file, told)
    assert "has size 44×40 but its label" in told
    assert "holds the value 100, 200, which dataset.json does not name; labels must be 0, 1, 2, ..." in told
    with pytest.raises(UserError, match=r"2 faults: missing label file .*; label .* has no image"):
        open_raw_dataset(folder)


def test_masks_of_0_and_255_are_told_with_a_way_out(make_data_set, tmp_path, capsys):
    folder = make_data_set(tmp_path, training=30)
    for path in (folder / "labelsTr").iterdir():
        _write(path, 255 * imread(path).astype(bool).astype(np.uint8))
    assert execute(_check, folder, "train") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train: error: Dataset901_Discs has 30 faults; the first 20:"
    assert len(lines) == 21
    told = r"disc_tr\d+.png holds the value 255, .* as 0 and 1, as swin-umamba prepare folder IMAGES MASKS DST does$"
    assert all(re.search(told, line) for line in lines[1:])


@pytest.mark.parametrize("name", ["np", "os", "BaseReaderWriter"])
def test_what_is_no_reader_is_not_taken_for_one(make_data_set, tmp_path, name):
    folder = make_data_set(tmp_path)
    _describe(folder, overwrite_image_reader_writer=name)
    with pytest.raises(UserError, match=f"'{name}' is no reader of nnU-Net; leave it out"):
        _check(folder)


@pytest.mark.parametrize(
    "splits",
    [
        5,
        {},
        [],
        [None],
        [{}],
        [{"train": [], "val": ["disc_tr0"]}],
        [{"train": "disc_tr0", "val": ["disc_tr1"]}],
        [{"train": [["disc_tr0"]], "val": ["disc_tr1"]}],
        [{"train": ["disc_tr0"], "val": {"disc_tr1": 1}}],
    ],
)
def test_splits_of_another_form_are_told_in_a_line(make_data_set, tmp_path, splits):
    folder = make_data_set(tmp_path)
    (folder / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(UserError, match=r"splits_final\.json") as caught:
        open_raw_dataset(folder)
    assert len(str(caught.value)) < 300
