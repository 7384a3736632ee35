"""Files that SimpleITK reads: one number a voxel, in mm, and whole."""

from __future__ import annotations

import os
import re
import threading
import zlib

import numpy as np
import pytest
import SimpleITK
from swin_umamba.common.console import heard_errors
from swin_umamba.common.images.nnunet_readers import SimpleITKIO
from swin_umamba.common.images.reading import read_stored, read_stored_labels
from swin_umamba.common.images.stored import ImageFault

VALUES = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.uint8)


def _write(path, array=VALUES, **options):
    image = SimpleITK.GetImageFromArray(array, **options)
    image.SetSpacing((0.5, 0.7, 4, 1)[: image.GetDimension()])
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.gipl"])
def test_slices_come_first_and_sizes_in_the_order_of_the_file(tmp_path, name):
    image = read_stored(_write(tmp_path / name))
    np.testing.assert_array_equal(image.values, VALUES[None])
    np.testing.assert_allclose(image.spacing, (0.5, 0.7, 4), rtol=1e-6)


@pytest.mark.parametrize("ending", [".MHA", ".Mhd", ".NRRD", ".GIPL"])
def test_an_ending_in_capitals_is_the_same(tmp_path, ending):
    path = _write(tmp_path / f"a{ending.lower()}").rename(tmp_path / f"a{ending}")
    array, properties = SimpleITKIO().read_images([str(path)])
    np.testing.assert_array_equal(array[0], VALUES)
    SimpleITKIO().write_seg(array[0], str(tmp_path / f"b{ending}"), properties)
    np.testing.assert_array_equal(read_stored(tmp_path / f"b{ending}").values, VALUES[None])


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("shape", [(4, 5, 3), (3, 4, 5, 2)])
def test_several_values_a_pixel_are_refused(tmp_path, name, shape):
    with pytest.raises(ImageFault, match="one channel, and an image one number a voxel"):
        read_stored_labels(_write(tmp_path / name, np.zeros(shape, np.uint8), isVector=True))


def test_a_fourth_axis_of_length_1_is_none(tmp_path):
    np.testing.assert_array_equal(
        read_stored(_write(tmp_path / "a.mha", VALUES[None], isVector=False)).values, VALUES[None]
    )
    with pytest.raises(ImageFault, match="2 or 3 axes"):
        read_stored(_write(tmp_path / "b.mha", np.stack([VALUES] * 2), isVector=False))


def test_another_unit_than_mm_is_refused(tmp_path):
    path = _write(tmp_path / "a.nrrd")
    content = path.read_bytes().replace(b"encoding:", b'space units: "um" "um" "um"\nencoding:', 1)
    path.write_bytes(content)
    with pytest.raises(ImageFault, match="counts in 'um'"):
        read_stored(path)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.gipl"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, name, share):
    path = _write(tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageFault):
        read_stored(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_metaimage_that_is_cut_off_is_told_so(tmp_path, compressed):
    """ITK gives the last error of the system for the reason, which is none."""
    image = SimpleITK.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (9, 9, 9)).astype(np.uint8))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"), compressed)
    (tmp_path / "a.mha").write_bytes((tmp_path / "a.mha").read_bytes()[:-9])
    with pytest.raises(ImageFault, match="it is cut off"):
        read_stored(tmp_path / "a.mha")


def test_another_unit_of_a_metaimage_is_refused(tmp_path):
    content = _write(tmp_path / "a.mha").read_bytes()
    for unit in (b"um", b"cm", b"mm", b"?"):
        (tmp_path / "b.mha").write_bytes(content.replace(b"DimSize", b"DistanceUnits = " + unit + b"\nDimSize", 1))
        if unit in (b"um", b"cm"):
            with pytest.raises(ImageFault, match="which ITK takes for mm"):
                read_stored(tmp_path / "b.mha")
        else:
            np.testing.assert_array_equal(read_stored(tmp_path / "b.mha").values[0], VALUES)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize(("skew", "is_read"), [(0.1, True), (0.3, False)])
def test_axes_that_are_sheared_are_refused(tmp_path, name, skew, is_read):
    path = _write(tmp_path / name)
    content = path.read_bytes()
    upright = (1 - skew**2) ** 0.5
    content = re.sub(rb"(TransformMatrix = 1 0 0) 0 1 0", f"\\1 {skew} {upright} 0".encode(), content)
    content = re.sub(rb"\(0,0\.[67]\d*,0\)", f"({0.7 * skew},{0.7 * upright},0)".encode(), content)
    assert content != path.read_bytes()
    path.write_bytes(content)
    if is_read:
        np.testing.assert_allclose(read_stored(path).spacing, (0.5, 0.7, 4), rtol=1e-5)
    else:
        with pytest.raises(ImageFault, match="17° off from perpendicular \\(direction\\)"):
            read_stored(path)


def test_a_direction_that_is_longer_than_1_is_a_second_size(tmp_path):
    path = _write(tmp_path / "a.mha")
    path.write_bytes(path.read_bytes().replace(b"TransformMatrix = 1 0 0", b"TransformMatrix = 2 0 0"))
    with pytest.raises(ImageFault, match="two sizes of a voxel"):
        read_stored(path)


def _metaimage(path, *lines, data=b""):
    head = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "DimSize = 5 4 3",
        "ElementType = MET_UCHAR",
        *lines,
    ]
    path.write_bytes("\n".join([*head, ""]).encode() + data)
    return path


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["ElementToIntensityFunctionSlope = 1.0", "ElementToIntensityFunctionOffset = 0"], None),
        (["ElementToIntensityFunctionSlope = 2"], "its header scales values (Slope 2), which ITK passes over"),
        (["ElementToIntensityFunctionOffset = -5"], "its header scales values (Offset -5), which ITK passes over"),
        (["HeaderSize = 10"], "its header states a HeaderSize"),
        (["ElementSpacing = 0 1 1"], "Refusing to change spacing"),
    ],
)
def test_what_itk_passes_over_in_a_metaimage_is_refused(tmp_path, lines, reason):
    path = _metaimage(tmp_path / "a.mha", *lines, "ElementDataFile = LOCAL", data=VALUES.tobytes())
    if reason is None:
        np.testing.assert_array_equal(read_stored(path).values, VALUES[None])
        return
    with pytest.raises(ImageFault, match=re.escape(reason)):
        read_stored(path)


@pytest.mark.parametrize("form", ["LIST\n{}\n", "LIST 2D\n{}\n", "s%d.raw 0 {last} 1"], ids=["list", "2D", "pattern"])
@pytest.mark.parametrize("n_files", [2, 3])
def test_a_metaimage_of_several_files_has_one_for_each_slice(tmp_path, form, n_files):
    for number, values in enumerate(VALUES):
        (tmp_path / f"s{number}.raw").write_bytes(values.tobytes())
    names = "\n".join(f"s{number}.raw" for number in range(n_files))
    path = _metaimage(tmp_path / "a.mhd", f"ElementDataFile = {form.format(names, last=n_files - 1)}")
    if n_files == 3:
        np.testing.assert_array_equal(read_stored(path).values, VALUES[None])
        return
    with pytest.raises(ImageFault, match="names 2 files for 3 slices"):
        read_stored(path)


@pytest.mark.parametrize("form", ["s%d.raw", "s%d.raw 1"])
def test_files_are_counted_from_one_to_the_last_slice(tmp_path, form):
    for number, values in enumerate(VALUES, 1):
        (tmp_path / f"s{number}.raw").write_bytes(values.tobytes())
    path = _metaimage(tmp_path / "a.mhd", f"ElementDataFile = {form}")
    np.testing.assert_array_equal(read_stored(path).values, VALUES[None])
    (tmp_path / "s2.raw").unlink()
    with pytest.raises((ImageFault, RuntimeError)):
        read_stored(path)


@pytest.mark.parametrize("name", ["list_a.raw", "Liste.raw"])
def test_a_file_may_be_called_a_list(tmp_path, name):
    (tmp_path / name).write_bytes(VALUES.tobytes())
    path = _metaimage(tmp_path / "a.mhd", "DistanceUnits = ", f"ElementDataFile = {name}")
    np.testing.assert_array_equal(read_stored(path).values, VALUES[None])


def test_packed_pixels_behind_a_header_of_their_own(tmp_path):
    packed = zlib.compress(VALUES.tobytes())
    lines = ["CompressedData = True", f"CompressedDataSize = {len(packed)}", "HeaderSize = 40"]
    (tmp_path / "a.zraw").write_bytes(bytes(40) + packed)
    path = _metaimage(tmp_path / "a.mhd", *lines, "ElementDataFile = a.zraw")
    np.testing.assert_array_equal(read_stored(path).values, VALUES[None])


def test_standard_error_is_that_of_before_in_a_process_forked_meanwhile(capfd):
    with heard_errors() as heard:
        os.write(2, b"of a library\n")
        started = threading.Event()

        def fork() -> None:
            started.set()
            if (child := os.fork()) == 0:
                os.write(2, b"of a child\n")
                os._exit(0)
            os.waitpid(child, 0)

        thread = threading.Thread(target=fork)
        thread.start()
        started.wait()
    thread.join(20)
    assert not thread.is_alive()
    assert heard == ["of a library"]
    assert capfd.readouterr().err == "of a child\n"


@pytest.mark.parametrize("form", ["s%d.raw 0 2", "s%d.raw 0 2 0"])
def test_files_counted_without_a_step_are_refused(tmp_path, form):
    with pytest.raises(ImageFault, match="without first, last and step"):
        read_stored(_metaimage(tmp_path / "a.mhd", f"ElementDataFile = {form}"))


def test_a_size_by_the_ends_of_axes_is_refused(tmp_path):
    path = _write(tmp_path / "a.nrrd")
    head, _, data = path.read_bytes().partition(b"\n\n")
    lines = [line for line in head.split(b"\n") if not line.startswith((b"space", b"kinds"))]
    path.write_bytes(b"\n".join([*lines, b"axis mins: 0 0 0", b"axis maxs: 5 8 9"]) + b"\n\n" + data)
    with pytest.raises(ImageFault, match="by axis mins and maxs, which ITK passes over"):
        read_stored(path)
    path.write_bytes(b"\n".join([*lines, b"axis maxs: 5 8 9", b"spacings: 1 2 3"]) + b"\n\n" + data)
    assert read_stored(path).spacing == (1, 2, 3)
