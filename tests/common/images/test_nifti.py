"""What a NIfTI file means: size, place and values, of what is read and of what is written on its grid."""

from __future__ import annotations

import gzip
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK
from swin_umamba.common.images.nnunet_readers import NibabelIO, SimpleITKIO
from swin_umamba.common.images.reading import open_nifti, read_stored, read_stored_labels
from swin_umamba.common.images.stored import ImageFault

AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.7, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1.0]])
VALUES = np.arange(4 * 5 * 3).reshape(4, 5, 3).astype(np.int16)


def _write(path, values=VALUES, affine=AFFINE, sform=1, qform=1, unit="mm", kind=nibabel.Nifti1Image, zooms=None):
    image = kind(values, affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    if zooms is not None:
        image.header["pixdim"][1 : len(zooms) + 1] = zooms
    nibabel.save(image, path)
    return path


def _predicted(path, labels=None):
    """The label image that is written on the grid of an image."""
    array, properties = SimpleITKIO().read_images([str(path)])
    out = path.with_name("predicted.nii.gz")
    SimpleITKIO().write_seg((array[0] > 7) if labels is None else labels, str(out), properties)
    return out


@pytest.mark.parametrize(("unit", "size"), [("mm", 1), ("micron", 1000), ("meter", 0.001), ("unknown", 1)])
def test_sizes_and_places_are_in_mm_whatever_the_header_counts_in(tmp_path, unit, size):
    affine = AFFINE.copy()
    affine[:3] *= size
    image = read_stored(_write(tmp_path / "a.nii.gz", affine=affine, unit=unit))
    np.testing.assert_allclose(image.spacing, (0.5, 0.7, 4), rtol=1e-6)
    for place in image.affines:
        np.testing.assert_allclose(place, AFFINE, rtol=1e-5)
    spacing = SimpleITKIO().read_images([str(tmp_path / "a.nii.gz")])[1]["spacing"]
    np.testing.assert_allclose(spacing, (4, 0.7, 0.5), rtol=1e-6)
    assert nibabel.load(_predicted(tmp_path / "a.nii.gz")).header.get_xyzt_units()[0] == unit


@pytest.mark.parametrize("sform", [0, 1])
def test_a_quaternion_that_was_rounded_is_a_turn(tmp_path, sform):
    # By 180° about the diagonal of x and y: both are exchanged, and z is mirrored.
    affine = np.array([[0, 0.5, 0, 1], [0.5, 0, 0, 2], [0, 0, -4, 3], [0, 0, 0, 1.0]])
    path = _write(tmp_path / "a.nii", affine=affine, sform=sform)
    content = bytearray(path.read_bytes())
    struct.pack_into("<3f", content, 256, 0.70711, 0.70711, 0.001)
    path.write_bytes(content)
    np.testing.assert_allclose(read_stored(path).affines[-1], affine, atol=0.02)
    np.testing.assert_allclose(nibabel.load(_predicted(path)).get_qform(), read_stored(path).affines[-1], atol=1e-6)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII", "a.Nii.gz", "a.nii.GZ"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_what_is_packed_is_told_by_the_content(tmp_path, name, is_packed):
    """What is written is packed as the name says, in capitals or not; a file of another case of letters is another."""
    content = _write(tmp_path / "made.nii").read_bytes()
    path = tmp_path / name
    if not path.name.islower():
        _write(tmp_path / name.lower(), VALUES + 1)
    path.write_bytes(gzip.compress(content) if is_packed else content)
    for image in (read_stored(path), read_stored_labels(path)):
        np.testing.assert_array_equal(image.values[0], VALUES.T)
    np.testing.assert_array_equal(open_nifti(path).dataobj, VALUES)
    array, properties = SimpleITKIO().read_images([str(path)])
    SimpleITKIO().write_seg(array[0], str(path), properties)
    assert path.read_bytes().startswith(b"\x1f\x8b") == name.lower().endswith(".gz")
    np.testing.assert_array_equal(read_stored(path).values[0], VALUES.T)


@pytest.mark.parametrize(("form", "at"), [("qform", 268), ("sform", 292)])
def test_a_place_that_is_not_finite_is_refused(tmp_path, form, at):
    path = _write(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, at, np.nan)
    path.write_bytes(content)
    with pytest.raises(ImageFault, match=f"not finite \\({form}\\)"):
        read_stored(path)


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5, 3, 1), (4, 5, 3, 1, 1), (4, 5, 1), (4, 5)])
def test_trailing_axes_of_length_1_are_none(tmp_path, shape):
    values = VALUES if 3 in shape else VALUES[..., :1]
    image = read_stored(_write(tmp_path / "a.nii.gz", values.reshape(shape)))
    np.testing.assert_array_equal(image.values[0], values.T)
    assert image.n_axes == min(3, len(shape))
    written = nibabel.load(_predicted(tmp_path / "a.nii.gz"))
    assert written.shape == shape[:3]
    np.testing.assert_allclose(written.affine, AFFINE, rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 5, 3, 2), (4, 5, 1, 3), (4, 5, 1, 1, 2)])
def test_channels_along_further_axes_are_refused(tmp_path, shape):
    with pytest.raises(ImageFault, match="each channel into its own file, named _0000"):
        read_stored(_write(tmp_path / "a.nii.gz", np.zeros(shape, np.int16)))


def test_colours_are_refused(tmp_path):
    colours = np.zeros((4, 5, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ImageFault, match="not one number a voxel"):
        read_stored(_write(tmp_path / "a.nii.gz", colours))


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (1, 0), (0, 1), (2, 1), (4, 2), (0, 0)])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_prediction_has_both_forms_and_codes_of_its_image(tmp_path, sform, qform, kind):
    path = _write(tmp_path / "a.nii.gz", sform=sform, qform=qform, kind=kind)
    before, after = nibabel.load(path), nibabel.load(_predicted(path))
    assert type(after) is kind
    for name in ("sform_code", "qform_code", "pixdim", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(after.header[name], before.header[name])
    np.testing.assert_array_equal(after.affine, before.affine)
    assert len(read_stored(path).affines) == (sform > 0) + (qform > 0)


def test_forms_that_disagree_are_both_places(tmp_path):
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    moved = AFFINE.copy()
    moved[:3, 3] += 50
    image.set_sform(moved, 2)
    image.set_qform(AFFINE, 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    first, second = read_stored(tmp_path / "a.nii.gz").affines
    np.testing.assert_allclose((first, second), (moved, AFFINE), rtol=1e-5)


def test_a_header_with_two_sizes_of_a_voxel_is_refused(tmp_path):
    _write(tmp_path / "a.nii.gz", qform=0, zooms=(0.5, 0.7, 5))
    with pytest.raises(ImageFault, match=r"0\.5 × 0\.7 × 5 \(pixdim\) and 0\.5 × 0\.7 × 4 \(sform\)"):
        read_stored(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(("degrees", "is_read"), [(6, True), (15, False)])
def test_a_slight_shear_is_read_and_kept_and_a_larger_one_refused(tmp_path, degrees, is_read):
    affine = np.diag([1.0, 1.2, 3, 1])
    affine[1, 2] = 3 * np.sin(np.radians(degrees))
    affine[2, 2] = 3 * np.cos(np.radians(degrees))
    image = nibabel.Nifti1Image(VALUES, np.diag([1.0, 1.2, 3, 1]))
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    if not is_read:
        with pytest.raises(ImageFault, match="15° off from perpendicular"):
            read_stored(tmp_path / "a.nii.gz")
        return
    np.testing.assert_allclose(read_stored(tmp_path / "a.nii.gz").affines[0], affine, rtol=1e-6)
    np.testing.assert_allclose(nibabel.load(_predicted(tmp_path / "a.nii.gz")).affine, affine, rtol=1e-6)


@pytest.mark.parametrize("size", [0, np.nan, np.inf])
def test_a_voxel_without_size_is_refused(tmp_path, size):
    content = bytearray(_write(tmp_path / "a.nii").read_bytes())
    struct.pack_into("<f", content, 84, size)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ImageFault, match=r"voxel size .* along axis 1"):
        read_stored(tmp_path / "a.nii")


def _scale(path, slope, intercept):
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<ff", content, 112, slope, intercept)
    path.write_bytes(gzip.compress(bytes(content)))
    return path


@pytest.mark.parametrize(("factor", "slope"), [(255, 1 / 255), (3, 1 / 3), (10, 0.1)])
def test_labels_that_a_header_scales_are_whole_numbers(tmp_path, factor, slope):
    labels = (VALUES % 3).astype(np.uint8)
    path = _scale(_write(tmp_path / "a.nii.gz", (labels.astype(np.int16) * factor)), slope, 0)
    np.testing.assert_array_equal(read_stored_labels(path).values[0].T, labels)
    np.testing.assert_array_equal(SimpleITKIO().read_seg(str(path))[0][0].T, labels)


@pytest.mark.parametrize("value", [1.5, 1.001, -1, np.nan, np.inf])
def test_other_values_are_no_labels(tmp_path, value):
    labels = np.ones((4, 5, 3), np.float32)
    labels[1, 2, 1] = value
    with pytest.raises(ImageFault, match=f"holds the label {value}"):
        read_stored_labels(_write(tmp_path / "a.nii.gz", labels))


def test_values_that_are_not_finite_stay(tmp_path):
    values = VALUES.astype(np.float32)
    values[1, 2, 1] = np.nan
    assert np.isnan(read_stored(_write(tmp_path / "a.nii.gz", values)).values[0, 1, 2, 1])


def test_labels_that_were_stretched_are_refused(tmp_path):
    """As nibabel writes labels held in floating point into uint8: of 0...7, 3 comes back as 2.992."""
    image = nibabel.Nifti1Image(np.arange(8.0).reshape(2, 2, 2), np.eye(4))
    image.set_data_dtype(np.uint8)
    nibabel.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(ImageFault, match="integer type"):
        read_stored_labels(tmp_path / "a.nii.gz")


def test_a_slope_of_0_is_no_scale(tmp_path):
    path = _scale(_write(tmp_path / "a.nii.gz"), 0.0, -10.0)
    np.testing.assert_array_equal(read_stored(path).values[0].T, VALUES)


def test_more_than_255_labels_are_written(tmp_path):
    path = _write(tmp_path / "a.nii.gz")
    labels = np.arange(60).reshape(3, 5, 4) * 10
    np.testing.assert_array_equal(read_stored_labels(_predicted(path, labels)).values[0], labels)


def test_other_programs_find_the_prediction_where_the_image_is(tmp_path):
    path = _write(tmp_path / "a.nii.gz", unit="micron", affine=AFFINE * [[1000], [1000], [1000], [1]])
    image, labels = SimpleITK.ReadImage(str(path)), SimpleITK.ReadImage(str(_predicted(path)))
    assert (image.GetOrigin(), image.GetSpacing(), image.GetDirection()) == (
        labels.GetOrigin(),
        labels.GetSpacing(),
        labels.GetDirection(),
    )


def test_nnunets_readers_of_nifti_agree(tmp_path):
    path = str(_write(tmp_path / "a.nii.gz", VALUES.astype(np.float32)))
    stock = [reader.__mro__[2]().read_images([path]) for reader in (SimpleITKIO, NibabelIO)]
    for (array, kept), reader in zip(stock, (SimpleITKIO, NibabelIO), strict=True):
        ours, properties = reader().read_images([path])
        np.testing.assert_array_equal(ours, array)
        np.testing.assert_array_equal(properties["spacing"], kept["spacing"])
        for name, values in kept.items():
            if name.endswith("_stuff"):
                for key, value in values.items():
                    np.testing.assert_allclose(properties[name][key], value, atol=1e-6)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path, name):
    content = bytearray(_write(tmp_path / "a.nii").read_bytes())
    struct.pack_into("<3h", content, 42, 30000, 30000, 300)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ImageFault, match=r"claims 5\.4e\+11 bytes"):
        read_stored(tmp_path / name)


@pytest.mark.parametrize(("kind", "at", "form"), [(nibabel.Nifti1Image, 108, "<f"), (nibabel.Nifti2Image, 168, "<q")])
def test_pixels_that_would_begin_in_the_header(tmp_path, kind, at, form):
    content = bytearray(kind(np.ones((3, 4, 5), np.uint8), np.eye(4)).to_bytes())
    struct.pack_into(form, content, at, 0)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ImageFault, match="the pixels begin at byte 0, in the header itself"):
        read_stored(tmp_path / "a.nii")
