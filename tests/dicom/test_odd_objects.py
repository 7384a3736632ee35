"""Objects that are seldom, and rightly made: their values, sizes and owners are those that they state."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.pixels import compress
from pydicom.uid import RLELossless
from swin_umamba.common.images.dicom.series import find_series, read_series
from swin_umamba.common.images.dicom.staging import staged
from swin_umamba.common.images.stored import ImageFault

from .files import DX, US, make_object, make_stack, random_values, save

PARAMETRIC_MAP, NUCLEAR = "1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.5.1.4.1.1.20"


def read_all(folder):
    return [read_series(one).image for one in find_series(folder)[0]]


@pytest.mark.parametrize(("name", "dtype"), [("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)])
def test_floating_pixels_stay_floating(tmp_path, name, dtype):
    values = np.random.default_rng(0).random((4, 5)).astype(dtype)
    ds = make_object(np.zeros((4, 5), np.uint8), PARAMETRIC_MAP, "MR")
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.BitsAllocated = 8 * values.dtype.itemsize
    setattr(ds, name, values.tobytes())
    save(tmp_path, [ds])
    np.testing.assert_allclose(read_all(tmp_path)[0].values[0, 0], values, rtol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_values_of_32_bits(tmp_path, photometric):
    values = np.array([[0, 2**31 + 5], [2**32 - 1, 7]], np.uint32)
    save(tmp_path, [make_object(values, DX, "DX", PhotometricInterpretation=photometric)])
    wanted = values.astype(np.int64)
    wanted = 2**32 - 1 - wanted if photometric == "MONOCHROME1" else wanted
    np.testing.assert_array_equal(read_all(tmp_path)[0].values[0, 0], wanted)


@pytest.mark.parametrize(("dtype", "low"), [(np.uint16, 0), (np.int16, -2048)])
@pytest.mark.parametrize("high", [11, 13, 15])
def test_bits_that_do_not_begin_at_the_lowest(tmp_path, dtype, low, high):
    values = np.array([[low, low + 4095], [low + 1, low + 2048]])
    # Others around them, which are no part of the value.
    stored = ((values & 0xFFF) << (high - 11)) | (0xFFFF ^ (0xFFF << (high - 11)))
    ds = make_object(stored.astype(np.uint16).view(dtype), DX, "DX", BitsStored=12, HighBit=high)
    save(tmp_path, [ds])
    np.testing.assert_array_equal(read_all(tmp_path)[0].values[0, 0], values)
    if high != 11:
        compress(ds, RLELossless, encoding_plugin="pydicom")
        save(tmp_path, [ds])
        with pytest.raises(ImageFault, match=f"12 bits up to bit {high}"):
            read_all(tmp_path)


@pytest.mark.parametrize(("bits", "high"), [(16, 7), (16, 20), (12, 7), (12, 16)])
def test_a_highest_bit_that_cannot_be(tmp_path, bits, high):
    """Where all bits are the value's it says nothing; elsewhere programs read it in several ways."""
    values = np.array([[0, 300], [3000, 4000]], np.uint16)
    save(tmp_path, [make_object(values, DX, "DX", BitsStored=bits, HighBit=high)])
    if bits == 16:
        np.testing.assert_array_equal(read_all(tmp_path)[0].values[0, 0], values)
    else:
        with pytest.raises(ImageFault, match=f"12 of 16 bits up to bit {high}"):
            read_all(tmp_path)


def test_a_palette_without_tables_is_told(tmp_path):
    save(tmp_path, [make_object(np.eye(4, dtype=np.uint8), US, "US", PhotometricInterpretation="PALETTE COLOR")])
    with pytest.raises(ImageFault, match="Palette Color Lookup Table"):
        read_all(tmp_path)


@pytest.mark.parametrize("shift", [0, 8])
@pytest.mark.parametrize("kind", [pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ExplicitVRBigEndian])
def test_palettes_of_16_bits_with_colours_in_either_half(tmp_path, shift, kind):
    colours = np.array([[0, 255, 10, 20], [0, 0, 30, 200], [0, 1, 2, 3]], np.uint16)
    ds = make_object(np.arange(4, dtype=np.uint8).reshape(2, 2), US, "US", PhotometricInterpretation="PALETTE COLOR")
    order = "<" if kind == pydicom.uid.ExplicitVRLittleEndian else ">"
    for name, table in zip(("Red", "Green", "Blue"), colours, strict=True):
        keyword = f"{name}PaletteColorLookupTable"
        ds.add_new(f"{keyword}Descriptor", "US", [4, 0, 16])
        ds.add_new(f"{keyword}Data", "OW", (table << shift).astype(f"{order}u2").tobytes())
    ds.file_meta.TransferSyntaxUID = kind
    ds["PixelData"].VR = "OB"
    pydicom.dcmwrite(tmp_path / "a.dcm", ds, implicit_vr=False, little_endian=order == "<", force_encoding=True)
    np.testing.assert_array_equal(read_all(tmp_path)[0].values.reshape(3, 4), colours)


@pytest.mark.parametrize("name", ["PatientID", "StudyInstanceUID"])
def test_patients_who_share_a_uid_stay_apart(tmp_path, name):
    values = random_values(4)
    first = make_stack(values, spacing=(1, 1, 2))
    # As a careless program makes them anonymous; their slices lie between those of the other.
    second = make_stack(values + 50, spacing=(1, 1, 2), origin=(-20.0, 30.0, 41.0))
    for ds in second:
        ds.SeriesInstanceUID, ds.StudyInstanceUID = first[0].SeriesInstanceUID, first[0].StudyInstanceUID
        setattr(ds, name, "1.2.3.4")
    save(tmp_path, first, seed=1)
    save(tmp_path, second, seed=2)
    images = read_all(tmp_path)
    assert [image.spacing for image in images] == [(1, 1, 2), (1, 1, 2)]
    np.testing.assert_array_equal(images[0].values[0], values)
    np.testing.assert_array_equal(images[1].values[0], values + 50)


def test_slices_of_nuclear_medicine(tmp_path):
    values = random_values(4, dtype=np.uint16)
    elements = {"PixelSpacing": [2, 3], "SpacingBetweenSlices": -4, "SliceVector": [2, 4, 1, 3]}
    ds = make_object(values, NUCLEAR, "NM", **elements)
    save(tmp_path, [ds])
    (image,) = read_all(tmp_path)
    assert image.spacing == (3, 2, 4)
    np.testing.assert_array_equal(image.values[0], values[[2, 0, 3, 1]])
    for vector in ([1, 2, 1, 2], 1):
        ds.SliceVector = vector
        save(tmp_path, [ds])
        with pytest.raises(ImageFault, match="slices of several times or views"):
            read_all(tmp_path)


def test_a_directory_of_a_disc_is_no_image(tmp_path):
    save(tmp_path, make_stack(random_values()))
    source = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests" / "DICOMDIR"
    for name in ("DICOMDIR", "DICOMDIR.dcm"):
        (tmp_path / name).write_bytes(source.read_bytes())
    series, others = find_series(tmp_path)
    assert (len(series), others) == (1, 1)


def _make_localizers() -> list:
    localizers = make_stack(random_values(2), SeriesNumber=1)
    for ds in localizers:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localizers[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return localizers


def test_series_of_localizers_beside_others_are_passed_over(tmp_path):
    save(tmp_path / "in" / "p", make_stack(random_values()), seed=1)
    save(tmp_path / "in" / "p", _make_localizers(), seed=2)
    with staged(tmp_path / "in", tmp_path / "out" / "x") as found:
        assert [one.case for one in found.series] == ["p_7"]
        assert len(found.notes) == 1
        assert "passed over 1 series of localizers, such as series 1 (CT, 2 files)" in found.notes[0]


def test_a_localizer_alone_is_an_image(tmp_path):
    save(tmp_path / "in" / "p", _make_localizers()[:1])
    with staged(tmp_path / "in", tmp_path / "out" / "x") as found:
        assert [one.case for one in found.series] == ["p"]
        assert found.notes == []


def test_frames_without_a_place_are_said(tmp_path):
    save(tmp_path / "in", [make_object(random_values(3, dtype=np.uint8), US, "US")])
    with staged(tmp_path / "in", tmp_path / "out" / "x") as found:
        assert "1 of 1 DICOM images hold frames without a place in space" in found.notes


def test_grey_that_is_stored_as_colour_suits_models_of_either(tmp_path, make_checkpoint, predict):
    grey = random_values(1, dtype=np.uint8)[0]
    save(tmp_path / "in", [make_object(np.stack([grey] * 3, axis=-1), US, "US")])
    for n_channels in (1, 3):
        checkpoint = make_checkpoint(f"{n_channels}.pth", n_channels=n_channels)
        words = (tmp_path / "in", tmp_path / f"out{n_channels}", "--checkpoint", checkpoint, "--json")
        code, out, _ = predict(*words)
        assert (code, json.loads(out)["predicted"]) == (0, ["f0000"])


def test_a_stack_in_colour(tmp_path, make_checkpoint, predict):
    values = np.random.default_rng(0).integers(0, 255, (3, 24, 28, 3), dtype=np.uint8)
    stack = make_stack(random_values(3))
    for ds, pixels in zip(stack, values, strict=True):
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation, ds.PixelData = 7, 0, pixels.tobytes()
    save(tmp_path / "in" / "p", stack)
    np.testing.assert_array_equal(read_all(tmp_path / "in")[0].values, np.moveaxis(values, -1, 0))
    checkpoint = make_checkpoint(n_channels=3, reader="SimpleITKIO", spacing=(0.9, 0.7))
    code, _, err = predict(tmp_path / "in", tmp_path / "out", "--checkpoint", checkpoint)
    assert (code, err) == (0, "")
    affine = nibabel.load(tmp_path / "out" / "p.nii.gz").affine
    np.testing.assert_allclose(affine[:3], [[-0.7, 0, 0, 20], [0, -0.9, 0, -30], [0, 0, 2.5, 40]], atol=1e-5)
