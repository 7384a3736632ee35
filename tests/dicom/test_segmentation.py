"""DICOM-SEG read back by highdicom: each label lies on its source's instance."""

from __future__ import annotations

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.common.images.dicom.series import find_series, read_series
from swin_umamba.figures.palette import class_colour
from swin_umamba.prediction.dicom_seg import segments_of, write_dicom_seg

from .files import DX, SECRET, US, make_enhanced, make_object, make_stack, random_values, save

LABELS = {"background": 0, "liver": 1, "spleen": 2, "lesion": 3}


def some_labels(shape=(4, 24, 28)):
    """Each slice has others; label 2 is nowhere."""
    labels = np.zeros(shape, dtype=np.int64)
    for z in range(shape[0]):
        labels[z, 2 + z : 9, 3:9] = 1
        labels[z, 12:20, 5 : 8 + z] = 3
    return labels


def written(tmp_path, labels, kind="binary"):
    (series,), _ = find_series(tmp_path / "in")
    read = read_series(series)
    missing = write_dicom_seg(tmp_path / "seg.dcm", labels, read.files, read.frames, segments_of(LABELS), kind)
    return highdicom.seg.segread(tmp_path / "seg.dcm"), read, missing


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_labels_lie_on_their_instances(tmp_path, kind):
    labels = some_labels()
    paths = save(tmp_path / "in", make_stack(random_values()))
    seg, read, missing = written(tmp_path, labels, kind)
    assert missing == []
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
    found = seg.get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(found, labels)
    assert [seg.get_segment_description(n).segment_label for n in (1, 2, 3)] == ["liver", "spleen", "lesion"]
    assert seg.get_segment_description(1).SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "Swin-UMamba"
    volume = seg.get_volume(combine_segments=True)
    source = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in paths])
    np.testing.assert_array_equal(volume.match_geometry(source).array[::-1], labels)
    assert len(read.files) == 4


def test_colours_are_those_of_the_pictures(tmp_path):
    save(tmp_path / "in", make_stack(random_values()))
    seg, _, _ = written(tmp_path, some_labels())
    value = seg.get_segment_description(2).RecommendedDisplayCIELabValue
    shown = highdicom.color.CIELabColor.from_dicom_value(value).to_rgb()
    wanted = [int(class_colour(1)[at : at + 2], 16) for at in (1, 3, 5)]
    np.testing.assert_allclose(shown, wanted, atol=2)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_labels_lie_on_the_frames_of_an_enhanced_object(tmp_path, kind):
    labels, order = some_labels(), [2, 0, 3, 1]
    (path,) = save(tmp_path / "in", [make_enhanced(random_values(), order, [(1.0, 0.0)] * 4)])
    seg, _, _ = written(tmp_path, labels, kind)
    uid = pydicom.dcmread(path).SOPInstanceUID
    found = seg.get_pixels_by_source_frame(uid, [1, 2, 3, 4], combine_segments=True)
    np.testing.assert_array_equal(found, labels[order])


def test_a_single_image_without_a_place(tmp_path):
    labels = some_labels((1, 24, 28))
    (path,) = save(tmp_path / "in", [make_object(random_values(1)[0], DX, "DX", ImageLaterality="L")])
    seg, _, _ = written(tmp_path, labels)
    found = seg.get_pixels_by_source_instance([pydicom.dcmread(path).SOPInstanceUID], combine_segments=True)
    np.testing.assert_array_equal(found, labels)


def test_what_an_anonymous_series_lacks_is_left_empty(tmp_path):
    stack = make_stack(random_values())
    for ds in stack:
        del ds.PatientID, ds.AccessionNumber
    save(tmp_path / "in", stack)
    assert written(tmp_path, some_labels())[2] == ["PatientID", "AccessionNumber"]


def test_nothing_found_is_an_empty_object(tmp_path):
    save(tmp_path / "in", make_stack(random_values()))
    seg, _, _ = written(tmp_path, np.zeros((4, 24, 28), dtype=np.int64))
    assert not seg.pixel_array.any()


def test_films_are_refused(tmp_path):
    save(tmp_path / "in", [make_object(random_values(4, dtype=np.uint8), US, "US")])
    with pytest.raises(UserError, match="has 4 frames without a place"):
        written(tmp_path, some_labels())


def test_segments_of_regions_and_ignored_labels():
    segments = segments_of({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3})
    assert [(one.number, one.name) for one in segments] == [(1, "label 1"), (2, "core")]


def test_predict_writes_one_object_for_each_series(tmp_path, make_checkpoint, predict):
    values = np.random.default_rng(0).integers(0, 200, (3, 40, 52)).astype(np.int16)
    paths = save(tmp_path / "in" / "a", make_stack(values), seed=1)
    save(tmp_path / "in" / "b", make_stack(values[:, ::-1]), seed=2)
    checkpoint = make_checkpoint(reader="SimpleITKIO", spacing=(0.9, 0.7))
    code, out, err = predict(tmp_path / "in", tmp_path / "out", "--checkpoint", checkpoint, "--dicom-seg")
    assert (code, err) == (0, "")
    assert "read 2 DICOM images" in out
    assert "wrote 2 DICOM-SEG objects" in out
    labels = np.asarray(nibabel.load(tmp_path / "out" / "a.nii.gz").dataobj).T
    assert len(np.unique(labels)) > 1
    seg = highdicom.seg.segread(tmp_path / "out" / "a.dcm")
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
    np.testing.assert_array_equal(seg.get_pixels_by_source_instance(uids, combine_segments=True), labels)
    assert SECRET not in out + (tmp_path / "out" / "predict.log").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pth", "in", "out"]


def test_predict_says_what_labels_are(tmp_path, make_checkpoint, predict):
    save(tmp_path / "in", make_stack(random_values(2)))
    checkpoint = make_checkpoint(reader="SimpleITKIO", spacing=(0.9, 0.7))
    words = (tmp_path / "in", tmp_path / "out", "--checkpoint", checkpoint)
    (tmp_path / "codes.csv").write_text("label,scheme,value,meaning\ncore,SCT,10200004,Liver\nother,SCT,1,Other\n")
    code, out, err = predict(*words, "--dicom-seg", "--segment-codes", tmp_path / "codes.csv")
    assert (code, err) == (0, "")
    assert "note: no code is given for rim" in out
    seg = highdicom.seg.segread(next((tmp_path / "out").glob("*.dcm")))
    rim, core = (seg.get_segment_description(number) for number in (1, 2))
    assert core.segmented_property_type == pydicom.sr.coding.Code("10200004", "SCT", "Liver")
    assert core.segmented_property_category == pydicom.sr.codedict.codes.SCT.AnatomicalStructure
    assert rim.segmented_property_type == pydicom.sr.codedict.codes.SCT.Tissue
    code, _, err = predict(*words, "--segment-codes", tmp_path / "codes.csv")
    assert (code, err.count("--segment-codes is for --dicom-seg")) == (2, 1)


def test_predict_refuses_a_series_in_words(tmp_path, make_checkpoint, predict):
    stack = make_stack(random_values(6))
    del stack[2]
    save(tmp_path / "in", stack)
    checkpoint = make_checkpoint(reader="SimpleITKIO")
    code, _, err = predict(tmp_path / "in", tmp_path / "out", "--checkpoint", checkpoint)
    assert (code, err.count("\n")) == (2, 1)
    assert "series 7 (CT, 5 files)" in err
    assert "lacks 1 slices" in err
    assert SECRET not in err
    code, _, _ = predict(tmp_path / "in", tmp_path / "out", "--checkpoint", checkpoint, "--irregular")
    assert code == 0


def test_dicom_seg_of_other_images_is_refused(tmp_path, make_checkpoint, predict):
    (tmp_path / "in").mkdir()
    code, _, err = predict(tmp_path / "in", tmp_path / "out", "--checkpoint", make_checkpoint(), "--dicom-seg")
    assert code == 2
    assert "--dicom-seg and --irregular are for DICOM" in err


def test_a_data_set_of_series(tmp_path):
    from swin_umamba.commands import cli
    from swin_umamba.datasets import check_cases, open_raw_dataset

    for number in range(3):
        values = random_values() + number
        save(tmp_path / "scans" / f"p{number}", make_stack(values.astype(np.int16)), seed=number)
        (series,), _ = find_series(tmp_path / "scans" / f"p{number}")
        affine = read_series(series).image.affines[0]
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask = nibabel.Nifti1Image((some_labels() * 50).astype(np.uint8).T, affine)
        nibabel.save(mask, tmp_path / "masks" / f"p{number}_seg.nii.gz")
    arguments = ["prepare", "folder", *(str(tmp_path / name) for name in ("scans", "masks", "Dataset501_Scans"))]
    for _ in range(2):
        assert cli.main(arguments) == 0
        dataset = open_raw_dataset(tmp_path / "Dataset501_Scans")
        check_cases(dataset, dataset.training)
    stored = np.asarray(nibabel.load(tmp_path / "Dataset501_Scans" / "imagesTr" / "p2_0000.nii.gz").dataobj)
    np.testing.assert_array_equal(stored.T, random_values() + 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Dataset501_Scans", "masks", "scans"]
