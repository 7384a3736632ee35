"""Series, multi-frame objects and single images are read as they lie in space and as their values are meant."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from swin_umamba.common.errors import UserError
from swin_umamba.common.images.dicom.series import find_series, read_series
from swin_umamba.common.images.dicom.staging import holds_dicom, staged
from swin_umamba.common.images.reading import read_stored
from swin_umamba.common.images.stored import ImageFault

from .files import DX, TURNED, US, make_enhanced, make_object, make_stack, random_values, save

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_one(folder, **options):
    (series,), _ = find_series(folder)
    return read_series(series, **options)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), TURNED])
def test_a_series_lies_where_simpleitk_and_highdicom_see_it(tmp_path, orientation):
    values = random_values()
    paths = save(tmp_path, make_stack(values, orientation, RescaleSlope=1, RescaleIntercept=-1000))
    read = read_one(tmp_path)
    np.testing.assert_array_equal(read.image.values[0], values.astype(int) - 1000)
    assert read.image.values.dtype == np.int16
    assert list(read.files) == paths
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(list(map(str, paths)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(read.image.affines[0], TO_RAS @ affine, atol=1e-4)
    np.testing.assert_allclose(read.image.spacing, image.GetSpacing(), rtol=1e-4)
    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in paths])
    np.testing.assert_array_equal(volume.array[::-1], read.image.values[0])


def test_series_of_several_patients_in_one_folder(tmp_path):
    first, second = random_values(3), random_values(5) + 1
    save(tmp_path / "x", make_stack(first, SeriesNumber=2), seed=1)
    save(tmp_path / "x", make_stack(second, TURNED, SeriesNumber=3), seed=2)
    save(tmp_path / "y", make_stack(first[::-1], SeriesNumber=2), seed=3, ending="")
    series, others = find_series(tmp_path)
    assert [one.name for one in series] == ["x/2", "x/3", "y"]
    assert others == 0
    for one, values in zip(series, (first, second, first[::-1]), strict=True):
        np.testing.assert_array_equal(read_series(one).image.values[0], values)


def test_each_slice_has_its_own_rescale(tmp_path):
    values = random_values(3)
    stack = make_stack(values)
    for ds, slope in zip(stack, (0.5, 2.0, 1.25), strict=True):
        ds.RescaleSlope, ds.RescaleIntercept = slope, -3
    save(tmp_path, stack)
    read = read_one(tmp_path).image.values
    assert read.dtype == np.float32
    np.testing.assert_allclose(read[0], values * np.array([0.5, 2.0, 1.25])[:, None, None] - 3)


def test_dark_is_low_in_monochrome1(tmp_path):
    stored = np.array([[0, 100], [4000, 4095]], dtype=np.uint16)
    save(tmp_path, [make_object(stored, DX, "DX", PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)])
    np.testing.assert_array_equal(read_one(tmp_path).image.values[0, 0], 4095 - stored.astype(int))


def test_twelve_signed_bits_beside_others(tmp_path):
    values = np.array([[-2048, -1], [0, 2047]], dtype=np.int16)
    # An overlay in the bits above.
    stored = (values & 0x0FFF) | np.int16(0x5000)
    save(tmp_path, [make_object(stored, DX, "DX", BitsStored=12, HighBit=11)])
    np.testing.assert_array_equal(read_one(tmp_path).image.values[0, 0], values)


def _regions(delta, units=3):
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = delta
    return pydicom.Sequence([region])


@pytest.mark.parametrize(
    ("elements", "spacing", "source"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "ImagerPixelSpacing"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.3, 0.4]}, (0.4, 0.3), "PixelSpacing"),
        ({"SequenceOfUltrasoundRegions": _regions((0.05, 0.04))}, (0.5, 0.4), "SequenceOfUltrasoundRegions"),
        ({"SequenceOfUltrasoundRegions": _regions((0.05, 0.04), units=4)}, None, "none"),
        ({}, None, "none"),
    ],
)
def test_spacing_of_single_images(tmp_path, elements, spacing, source):
    save(tmp_path, [make_object(random_values(1)[0], US, "US", **elements)])
    read = read_one(tmp_path)
    assert read.image.n_axes == 2
    assert read.spacing_from == source
    assert read.image.spacing == (None if spacing is None else pytest.approx(spacing))


def test_frames_of_an_enhanced_object(tmp_path):
    values, order = random_values(5), [3, 0, 4, 1, 2]
    rescales = [(0.5 + z, float(z)) for z in range(5)]
    (path,) = save(tmp_path, [make_enhanced(values, order, rescales)])
    read = read_one(tmp_path)
    wanted = np.stack([frame * slope + shift for frame, (slope, shift) in zip(values, rescales, strict=True)])
    np.testing.assert_allclose(read.image.values[0], wanted)
    assert read.image.spacing == (0.5, 0.5, 3.0)
    assert [order[frame] for frame in read.frames] == [0, 1, 2, 3, 4]
    volume = highdicom.imread(path).get_volume()
    np.testing.assert_allclose(volume.array[::-1], read.image.values[0])


def test_frames_of_a_film_are_slices_without_a_distance(tmp_path):
    values = random_values(6, dtype=np.uint8)
    save(tmp_path, [make_object(values, US, "US")])
    read = read_one(tmp_path)
    np.testing.assert_array_equal(read.image.values[0], values)
    assert (read.image.n_axes, read.image.affines, read.spacing_from) == (3, (), "none")


def _localizer(stack):
    stack[1].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _other_direction(stack):
    stack[1].ImageOrientationPatient = [1, 0, 0, 0, 0, 1]


def _gap(stack):
    del stack[2]


def _twice(stack):
    stack[2].ImagePositionPatient = stack[1].ImagePositionPatient


def _uneven(stack):
    stack[2].ImagePositionPatient[2] += 0.8


def _tilted(stack):
    for z, ds in enumerate(stack):
        ds.ImagePositionPatient[1] += 0.4 * z


def _other_size(stack):
    stack[1].Rows -= 4
    stack[1].PixelData = stack[1].PixelData[: 2 * stack[1].Rows * stack[1].Columns]


FAULTS = {
    _localizer: ("it holds 1 localizers beside 5 slices", 5),
    _other_direction: (r"in 2 directions \(5 and 1 slices\)", 5),
    _gap: ("it lacks 1 slices: some lie 5 mm apart, most 2.5 mm", 5),
    _twice: ("it has 1 slices at the place of others", 5),
    _uneven: ("its slices lie unevenly, from 1.7 to 3.3 mm apart", 6),
    _tilted: (r"shifted against each other, by 9\.1°", 6),
    _other_size: ("several sizes", 5),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_series_that_are_no_even_stack(tmp_path, fault):
    stack = make_stack(random_values(6))
    fault(stack)
    save(tmp_path, stack)
    message, n_slices = FAULTS[fault]
    with pytest.raises(ImageFault, match=f"{message}.*; --irregular takes it all the same"):
        read_one(tmp_path)
    assert read_one(tmp_path, irregular=True).image.values.shape[1] == n_slices


def test_a_slice_without_a_place_is_not_left_out(tmp_path):
    stack = make_stack(random_values(3))
    del stack[2].ImagePositionPatient
    paths = save(tmp_path, stack)
    with pytest.raises(UserError, match=f"{paths[2].name} states no place in space, as 2 other slices of its"):
        find_series(tmp_path)
    # A picture of the console, as of a dose, is none.
    stack[2].Rows -= 4
    stack[2].PixelData = stack[2].PixelData[: 2 * stack[2].Rows * stack[2].Columns]
    save(tmp_path, stack)
    assert sorted(len(series.instances) for series in find_series(tmp_path)[0]) == [1, 2]


def test_a_gap_between_frames(tmp_path):
    ds = make_enhanced(random_values(5), [0, 1, 2, 3, 4], [(1.0, 0.0)] * 5)
    ds.PerFrameFunctionalGroupsSequence[4].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 30]
    save(tmp_path, [ds])
    with pytest.raises(ImageFault, match="it lacks 6 slices"):
        read_one(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "693_J2KI.dcm",
        "examples_overlay.dcm",
        "JPEG2000.dcm",
        "JPEGLSNearLossless_16.dcm",
    ],
)
def test_samples_have_the_values_that_pydicom_gives(name):
    ds = pydicom.dcmread(SAMPLES / name)
    wanted = apply_modality_lut(ds.pixel_array, ds)
    np.testing.assert_array_equal(read_one(SAMPLES / name).image.values[0, 0], wanted)


@pytest.mark.parametrize("kind", ["RLE", "bigendian", "implicit", "jp2klossless", "jpeg_ls_lossless", "expb"])
def test_lossless_transfer_syntaxes(kind):
    plain, packed = (read_one(SAMPLES / f"MR_small{ending}.dcm").image for ending in ("", f"_{kind}"))
    np.testing.assert_array_equal(plain.values, packed.values)


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_jpeg_of_twelve_bits_as_simpleitk_reads_it(name):
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(SAMPLES / name)))
    np.testing.assert_allclose(read_one(SAMPLES / name).image.values[0, 0], image[0], atol=1)


def test_lossless_jpeg_in_colour_as_simpleitk_reads_it():
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(SAMPLES / "SC_rgb_jpeg_gdcm.dcm")))
    read = read_one(SAMPLES / "SC_rgb_jpeg_gdcm.dcm").image.values
    np.testing.assert_array_equal(read[:, 0], np.moveaxis(image[0], -1, 0))


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "examples_rgb_color.dcm"])
def test_colours(name):
    values = read_one(SAMPLES / name).image.values
    wanted = pydicom.dcmread(SAMPLES / name).pixel_array
    wanted = wanted if wanted.ndim == 4 else wanted[None]
    np.testing.assert_array_equal(values, np.moveaxis(wanted, -1, 0))


def test_objects_that_are_no_images_are_passed_over(tmp_path):
    save(tmp_path, make_stack(random_values()))
    for name in ("rtstruct.dcm", "test-SR.dcm", "rtplan.dcm", "rtdose.dcm"):
        (tmp_path / name).write_bytes((SAMPLES / name).read_bytes())
    series, others = find_series(tmp_path)
    assert (len(series), others) == (1, 4)


def test_a_damaged_file_is_named(tmp_path):
    save(tmp_path, make_stack(random_values()))
    (tmp_path / "bad.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(UserError, match=r"bad\.dcm cannot be read as DICOM"):
        find_series(tmp_path)
    (series,), _ = find_series(SAMPLES / "MR_truncated.dcm")
    with pytest.raises(ImageFault, match="number of bytes of pixel data is less than expected"):
        read_series(series)


def test_staged_files_are_the_series(tmp_path):
    values = random_values()
    save(tmp_path / "in" / "p1", make_stack(values, TURNED))
    save(tmp_path / "in", [make_object(random_values(1, dtype=np.uint16)[0], DX, "DX")])
    read = {one.name: read_series(one).image for one in find_series(tmp_path / "in")[0]}
    assert holds_dicom(tmp_path / "in")
    with staged(tmp_path / "in", tmp_path / "out" / "x") as found:
        names = sorted(path.name for path in found.folder.iterdir())
        assert names == ["f0000.png", "p1.nii.gz"]
        volume = read_stored(found.folder / "p1.nii.gz")
        np.testing.assert_array_equal(volume.values, read["p1"].values)
        np.testing.assert_allclose(volume.affines[0], read["p1"].affines[0], atol=1e-4)
        np.testing.assert_array_equal(read_stored(found.folder / "f0000.png").values, read["f0000"].values)
        assert found.notes == ["1 of 2 DICOM images state no size of a pixel in mm"]
    assert list((tmp_path / "out").iterdir()) == []


def test_other_images_beside(tmp_path):
    save(tmp_path, make_stack(random_values()))
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match=r"holds DICOM, such as .* and other images, such as .*a\.png"):
        holds_dicom(tmp_path)


def test_files_named_by_numbers_behind_dots_keep_their_names(tmp_path):
    names = ("1.2.840.1", "1.2.840.2", "IM.0001", "IM.0002.dcm")
    series = {"SeriesInstanceUID": "1.2.3", "PixelSpacing": [0.2, 0.2]}
    for index, name in enumerate(names):
        pixels = np.full((4, 5), index, np.uint16)
        make_object(pixels, DX, "DX", **series).save_as(tmp_path / name, enforce_file_format=True)
    with staged(tmp_path, tmp_path / "out" / "x") as found:
        assert [one.case for one in found.series] == ["1.2.840.1", "1.2.840.2", "IM.0001", "IM.0002"]
        for index, one in enumerate(found.series):
            assert read_stored(found.folder / f"{one.case}.nii.gz").values.max() == index


def test_series_that_would_be_one_case_are_refused(tmp_path):
    for folder in (tmp_path / "p0" / "1", tmp_path / "p0_1"):
        save(folder, make_stack(random_values()))
    refusal = pytest.raises(UserError, match="would both be p0_1; rename a folder")
    with refusal, staged(tmp_path, tmp_path / "out" / "x"):
        pass


def test_folders_behind_links_are_read_once(tmp_path):
    save(tmp_path / "elsewhere", make_stack(random_values()))
    save(tmp_path / "in" / "p1", make_stack(random_values()))
    (tmp_path / "in" / "p0").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "p1" / "up").symlink_to(tmp_path / "in")
    assert [one.name for one in find_series(tmp_path / "in")[0]] == ["p0", "p1"]


def test_an_object_without_the_part_that_states_its_encoding(tmp_path):
    values = random_values(1)[0]
    ds = make_object(values, DX, "DX", PixelSpacing=[0.2, 0.2])
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(tmp_path / "a.dcm", ds, implicit_vr=True, little_endian=True, enforce_file_format=False)
    content = (tmp_path / "a.dcm").read_bytes()
    # The first element of the object itself, the SOP class.
    (tmp_path / "a.dcm").write_bytes(content[content.index(b"\x08\x00\x16\x00") :])
    np.testing.assert_array_equal(read_one(tmp_path).image.values[0, 0], values)
