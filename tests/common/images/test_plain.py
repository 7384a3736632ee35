"""What PNG, BMP, JPEG and TIFF files mean: pixels as they are stored, one image in a file."""

from __future__ import annotations

import re
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from swin_umamba.common.images import plain
from swin_umamba.common.images.nnunet_readers import NaturalImage2DIO, Tiff3DIO
from swin_umamba.common.images.reading import read_stored, read_stored_labels
from swin_umamba.common.images.stored import ImageFault, unusable_values

GREY = np.arange(40 * 30).reshape(40, 30).astype(np.uint16)
LABELS = (GREY // 7 % 4).astype(np.uint8)


def _values(path, **options):
    """(H, W) or (H, W, C)."""
    image = read_stored(path, **options)
    assert image.n_axes == 2
    assert image.spacing is None
    return (
        np.moveaxis(image.values[:, 0], 0, -1).squeeze(-1)
        if len(image.values) == 1
        else np.moveaxis(image.values[:, 0], 0, -1)
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_keeps_them(tmp_path, channels):
    array = np.stack([GREY * 50 + channel for channel in range(channels)], -1).astype(np.uint16)
    array = array[..., 0] if channels == 1 else array
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array))
    np.testing.assert_array_equal(_values(tmp_path / "a.png"), array)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb" if channels > 2 else "minisblack")
    if channels != 2:
        np.testing.assert_array_equal(_values(tmp_path / "a.tif"), array)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_colour_that_is_shown_as_transparent_makes_no_channel(tmp_path, bits):
    array = (np.stack([GREY, GREY // 2, GREY // 3], -1) % (2**bits - 1)).astype(f"uint{bits}")
    content = bytes(imagecodecs.png_encode(array))
    note = b"tRNS" + struct.pack(">HHH", *array[0, 0].tolist())
    # Behind the header, of 8 + 25 bytes.
    note = struct.pack(">I", 6) + note + struct.pack(">I", zlib.crc32(note))
    (tmp_path / "a.png").write_bytes(content[:33] + note + content[33:])
    np.testing.assert_array_equal(_values(tmp_path / "a.png"), array)


def test_grey_with_alpha_is_two_channels(tmp_path):
    grey = GREY.astype(np.uint8)
    Image.fromarray(np.stack([grey, 255 - grey], -1), "LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(_values(tmp_path / "a.png"), np.stack([grey, 255 - grey], -1))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_values_of_few_bits_are_as_stored(tmp_path, bits):
    labels = (GREY // 3 % 2**bits).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(_grey_png(labels, bits))
    for options in ({}, {"labels": True}):
        np.testing.assert_array_equal(_values(tmp_path / "a.png", **options), labels)
    assert read_stored(tmp_path / "a.png").white == 2**bits - 1
    np.testing.assert_array_equal(read_stored_labels(tmp_path / "a.png").values[0, 0], labels)


def _grey_png(array, bits):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    planes = np.unpackbits(array[..., None], axis=-1)[..., -bits:].reshape(len(array), -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in planes)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], bits, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
@pytest.mark.parametrize("palette", ["colours", "grey"])
def test_the_labels_of_a_palette_are_its_indices(tmp_path, name, palette):
    colours = [0, 0, 0, 200, 0, 0, 0, 200, 0, 9, 9, 9] + [0] * 756
    image = Image.fromarray(LABELS, "P")
    image.putpalette(colours if palette == "colours" else [value for index in range(256) for value in [index] * 3])
    image.save(tmp_path / name)
    np.testing.assert_array_equal(read_stored_labels(tmp_path / name).values[0, 0], LABELS)
    np.testing.assert_array_equal(NaturalImage2DIO().read_seg(str(tmp_path / name))[0][0, 0], LABELS)
    if name == "a.png":
        shown = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(_values(tmp_path / name), shown)


def test_a_palette_of_a_tiff_is_a_display_or_refused(tmp_path):
    image = Image.fromarray(LABELS, "P")
    image.putpalette([value for index in range(256) for value in (0, index, index // 2)])
    image.save(tmp_path / "ramp.tif")
    np.testing.assert_array_equal(_values(tmp_path / "ramp.tif"), LABELS)
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0] + [0] * 759)
    image.save(tmp_path / "classes.tif")
    with pytest.raises(ImageFault, match="indices of a palette"):
        read_stored(tmp_path / "classes.tif")


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "wrongly_named.png", "packed.tif"])
def test_jpeg_is_read_for_images_and_refused_for_labels(tmp_path, name):
    smooth = np.full((40, 48, 3), 90, np.uint8)
    if name == "packed.tif":
        tifffile.imwrite(tmp_path / name, smooth, photometric="rgb", compression="jpeg")
    else:
        Image.fromarray(smooth).save(tmp_path / name, "JPEG", quality=95)
    np.testing.assert_allclose(_values(tmp_path / name), smooth, atol=2)
    with pytest.raises(ImageFault, match="JPEG changes pixel values"):
        read_stored_labels(tmp_path / name)


def test_colours_of_print_are_refused(tmp_path):
    """Photoshop's profile, and programs without one, make other reds and greens of them."""
    Image.new("CMYK", (9, 8), (10, 200, 30, 5)).save(tmp_path / "a.jpg")
    with pytest.raises(ImageFault, match="CMYK colours; store it in grey or RGB"):
        read_stored(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_an_image_that_is_stored_turned_is_refused(tmp_path, name):
    if name == "a.tif":
        tifffile.imwrite(tmp_path / name, LABELS, extratags=[(274, "H", 1, 6, True)])
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(LABELS).save(tmp_path / name, exif=exif)
    with pytest.raises(ImageFault, match="orientation 6"):
        read_stored(tmp_path / name)


@pytest.mark.parametrize("options", [{"photometric": "miniswhite"}, {}])
def test_zero_as_white_is_refused(tmp_path, options):
    # Without being asked, tifffile writes masks of bool so.
    pixels = LABELS if options else LABELS > 0
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    for read in (read_stored, read_stored_labels):
        with pytest.raises(ImageFault, match="0 is white"):
            read(tmp_path / "a.tif")


def _appended(path, pages):
    for page in pages:
        tifffile.imwrite(path, page, append=path.exists())


def _by_pillow(path, pages):
    first, *others = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=others)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "write",
    [
        _appended,
        _by_pillow,
        lambda path, pages: tifffile.imwrite(path, pages, photometric="minisblack"),
        lambda path, pages: tifffile.imwrite(path, pages, imagej=True, metadata={"axes": "ZYX"}),
        lambda path, pages: tifffile.imwrite(path, pages[None], photometric="minisblack", metadata={"axes": "TZYX"}),
    ],
)
def test_pages_are_slices_however_they_were_written(tmp_path, write, count):
    pages = np.stack([LABELS + page for page in range(count)])
    path = tmp_path / "a.tif"
    write(path, pages)
    image = read_stored(path)
    np.testing.assert_array_equal(image.values, pages[None])
    assert (image.n_axes, image.spacing) == (3, (1, 1, 1))
    with pytest.raises(ImageFault, match=f"stack of {count} slices where 2-D images are wanted"):
        NaturalImage2DIO().read_images([str(path)])
    np.testing.assert_array_equal(Tiff3DIO().read_images([str(path)])[0], pages[None])
    np.testing.assert_array_equal(Tiff3DIO().read_seg(str(path))[0], pages[None])


@pytest.mark.parametrize("shape", [(5, 20, 1), (5, 1, 20), (3, 20, 1), (2, 1, 1), (3, 4, 3), (4, 4, 4), (3, 4, 5)])
def test_labels_of_a_stack_are_a_stack_however_small_its_pages(tmp_path, shape):
    labels = (np.arange(np.prod(shape)).reshape(shape) % 5).astype(np.uint8)
    path = tmp_path / "a.tif"
    Tiff3DIO().write_seg(labels, str(path), {"spacing": [4, 1, 1]})
    np.testing.assert_array_equal(read_stored_labels(path).values, labels[None])
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal([page.asarray() for page in file.pages], labels)


@pytest.mark.parametrize(
    ("values", "is_read"),
    [
        ([0, 1, 65535.01], True),
        ([0, 0.3, 1e6], False),
        ([0, 1, 1e30], False),
        ([0, 1, np.nan], False),
        ([0, 2.5e6], True),
    ],
)
def test_a_large_label_does_not_make_others_whole(tmp_path, values, is_read):
    tifffile.imwrite(tmp_path / "a.tif", np.array([values], np.float32))
    if is_read:
        np.testing.assert_array_equal(read_stored_labels(tmp_path / "a.tif").values[0, 0, 0], np.rint(values))
    else:
        with pytest.raises(ImageFault, match="labels are whole numbers of at least 0"):
            read_stored_labels(tmp_path / "a.tif")


def test_pages_of_several_sizes_are_refused(tmp_path):
    _appended(tmp_path / "a.tif", [LABELS, LABELS[:20]])
    with pytest.raises(ImageFault, match=r"2 images, of the sizes \(20, 30\) and \(40, 30\)"):
        read_stored(tmp_path / "a.tif")


def test_a_smaller_copy_of_an_image_is_no_other_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(LABELS)
        file.write(LABELS[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(_values(tmp_path / "a.tif"), LABELS)


def test_a_mask_of_valid_pixels_is_no_other_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY, photometric="minisblack")
        file.write(GREY > 9, photometric="mask", subfiletype=4)
    np.testing.assert_array_equal(_values(tmp_path / "a.tif"), GREY)


def test_pages_of_colour_are_refused_however_they_were_written(tmp_path):
    pages = np.zeros((3, 20, 30, 3), np.uint8)
    for page in pages:
        tifffile.imwrite(tmp_path / "a.tif", page, photometric="rgb", append=True)
    tifffile.imwrite(tmp_path / "b.tif", pages, photometric="rgb")
    for name in ("a.tif", "b.tif"):
        with pytest.raises(ImageFault, match="into its own file"):
            read_stored(tmp_path / name)


@pytest.mark.parametrize("shape", [(1, 40, 30), (1, 1, 40, 30), (40, 30, 1)])
def test_axes_of_length_1_are_none(tmp_path, shape):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.reshape(shape), photometric="minisblack")
    np.testing.assert_array_equal(_values(tmp_path / "a.tif"), LABELS)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_colour_tiff_with_a_leading_axis_of_1(tmp_path, planar):
    colours = np.stack([GREY, GREY * 2, GREY * 3], -1).astype(np.uint16)
    stored = colours if planar == "contig" else np.moveaxis(colours, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored[None], photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(_values(tmp_path / "a.tif"), colours)


def test_channels_that_imagej_names_are_channels(tmp_path):
    channels = np.stack([GREY, GREY + 1, GREY + 2])
    tifffile.imwrite(tmp_path / "a.tif", channels, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(_values(tmp_path / "a.tif"), np.moveaxis(channels, 0, -1))


def test_slices_with_channels_are_refused_in_words(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 2, 40, 30), np.uint8), imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(ImageFault, match=r"axes ZCYX .* slices and channels"):
        read_stored(tmp_path / "a.tif")


def test_the_size_of_a_tiff_volume_is_beside_it(tmp_path):
    tifffile.imwrite(tmp_path / "a_0000.tif", np.stack([LABELS] * 3), photometric="minisblack")
    (tmp_path / "a.json").write_text('{"spacing": [4, 0.7, 0.5]}')
    assert read_stored(tmp_path / "a_0000.tif").spacing == (0.5, 0.7, 4)
    assert Tiff3DIO().read_images([str(tmp_path / "a_0000.tif")])[1]["spacing"] == [4, 0.7, 0.5]
    (tmp_path / "a.json").write_text('{"spacing": [4, 0]}')
    with pytest.raises(ImageFault, match=r"a\.json has the spacing \(4\.0, 0\.0\)"):
        read_stored(tmp_path / "a_0000.tif")
    # As labelme calls the outlines of an image.
    (tmp_path / "a.json").write_text('{"shapes": []}')
    with pytest.raises(ImageFault, match=r"a\.json has no spacing in the form"):
        read_stored(tmp_path / "a_0000.tif")


def test_the_size_beside_a_case_that_is_called_as_a_channel(tmp_path):
    for case, depth in (("a", 4), ("a_0001", 2)):
        tifffile.imwrite(tmp_path / f"{case}.tif", np.stack([LABELS] * 3), photometric="minisblack")
        (tmp_path / f"{case}.json").write_text(f'{{"spacing": [{depth}, 1, 1]}}')
    assert [read_stored(tmp_path / name).spacing for name in ("a.tif", "a_0001.tif")] == [(1, 1, 4), (1, 1, 2)]


def test_an_image_beyond_pillows_bound_is_read(tmp_path, monkeypatch):
    assert Image.MAX_IMAGE_PIXELS is None
    monkeypatch.setattr(plain, "LARGEST_PIXELS", 1000)
    Image.fromarray(LABELS).save(tmp_path / "a.png")
    with pytest.raises(ImageFault, match="it has 1200 pixels; 1000 are the most"):
        read_stored(tmp_path / "a.png")


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "a.bmp")
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    content[18:26] = (60000).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(content)
    with pytest.raises(ImageFault, match=r"claims 4\.5e\+08 bytes of pixels"):
        read_stored(tmp_path / "a.bmp")


def test_several_frames_are_refused(tmp_path):
    first, second = Image.fromarray(LABELS), Image.fromarray(LABELS + 1)
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    with pytest.raises(ImageFault, match="holds 2 images"):
        read_stored(tmp_path / "a.png")


def test_programs_are_not_started_for_other_formats(tmp_path):
    """Pillow would give PostScript to an interpreter."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises(ImageFault, match="cannot identify"):
        read_stored(tmp_path / "a.png")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.7, 0.9, 0.95])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"imagej": True, "metadata": {"axes": "ZYX"}}, {"bigtiff": True}]
)
def test_a_tiff_that_is_cut_off_is_refused(tmp_path, share, options):
    pages = np.random.default_rng(0).integers(0, 256, (6, 20, 24)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", **options)
    np.testing.assert_array_equal(read_stored(tmp_path / "a.tif").values[0], pages)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageFault):
        read_stored(tmp_path / "a.tif")


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(("bits", "colours"), [(1, 2), (4, 2), (8, 2), (4, 16), (8, 256)])
def test_a_bmp_whose_palette_is_grey(tmp_path, bits, colours, labels):
    """Pillow unpacks indices of 4 and 8 bits as 1 bit where there are two colours, and has no way for 4 bits."""
    wanted = np.random.default_rng(bits).integers(0, colours, (5, 11))
    rows = "".join(
        "".join(f"{index:0{bits}b}" for index in row).ljust(-(-11 * bits // 32) * 32, "0") for row in wanted[::-1]
    )
    greys = [0, 255] if colours == 2 else range(colours)
    palette = b"".join(bytes([grey] * 3 + [0]) for grey in greys)
    head = struct.pack("<2sIHHIIiiHH6I", b"BM", 0, 0, 0, 54 + len(palette), 40, 11, 5, 1, bits, 0, 0, 0, 0, colours, 0)
    content = head + palette + int(rows, 2).to_bytes(len(rows) // 8, "big")
    (tmp_path / "a.bmp").write_bytes(content)
    image = read_stored(tmp_path / "a.bmp", labels=labels)
    assert image.values.shape == (1, 1, 5, 11)
    assert (image.values[0, 0] == wanted).all()
    assert image.white == (1 if colours == 2 else 255)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, 5.0, np.nan], "NaN or infinite values"),
        ([0.0, 5.0, -np.inf], "NaN or infinite values"),
        ([0.0, 5.0, 1e300], r"the value 1e\+300, as where nothing was measured"),
        ([0.0, 5.0, np.finfo(np.float32).min], r"the value -3\.403e\+38, as where"),
        ([1e-9, 3e-9, 2e-9], "values from 1e-09 to 3e-09, so close that normalisation takes them for one; multiply"),
        ([1e-6, 3e-6, 2e-6], None),
        ([7.0, 7.0, 7.0], None),
        ([99.99999999999977, 100.0, 100.0000000000002], None),
        ([0.0, 0.0, 0.0], None),
        ([0.0, 5.0, 1e9], None),
        ([-(2**40), 2**40, 0], None),
        ([True, False, True], None),
        (np.array([0, 100, 90], np.uint32) + 2**31, "values from 2147483648 to 2147483748, whose differences float32"),
        (np.array([0, 1, 2]) + 2**49, "values from 562949953421312 to 562949953421314, whose"),
        ([1e6, 1e6 + 0.01, 1e6 + 0.02], "values from 1000000.0 to 1000000.02, whose differences float32"),
        ([16_777_214, 16_777_215, 16_777_216], None),
        (np.array([0, 100, 90], np.uint32) * 2**20 + 2**31, None),
    ],
)
def test_values_that_normalisation_would_lose(values, message):
    """nnU-Net's z-score in float32 makes the same image of all of these that are refused."""
    array = np.array(values)[None, None, None]
    found = unusable_values(array)
    assert (found is None) if message is None else re.match(message, found)
    if message is not None and "NaN" not in message:
        with np.errstate(over="ignore", invalid="ignore"):
            single = array.astype(np.float32)
            normalised = (single - single.mean()) / max(single.std(), 1e-8)
        assert not np.ptp(normalised[..., :2]) > 0.5


def test_libpng_is_not_heard(tmp_path, capfd):
    """It warns of each interlaced image of 16 bits, though it reads it right."""
    wanted = np.random.default_rng(0).integers(0, 2**16, (8, 8, 3)).astype(">u2")
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [b"\0" + row.tobytes() for y, x, dy, dx in passes for row in wanted[y::dy, x::dx]]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 1),
        b"iCCP": b"x\0\0" + zlib.compress(b"short"),
        b"IDAT": zlib.compress(b"".join(rows)),
        b"IEND": b"",
    }
    parts = [
        struct.pack(">I", len(data)) + n + data + struct.pack(">I", zlib.crc32(n + data)) for n, data in chunks.items()
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    np.testing.assert_array_equal(_values(tmp_path / "a.png"), wanted)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("values", "is_usable"),
    [
        ([0, 1], True),
        ([0, 255], True),
        ([0.0, 254.5], True),
        ([0.0, 0.5, 1.0], False),
        ([0, 256], False),
        ([-1, 9], False),
    ],
)
def test_colours_that_are_divided_by_255(values, is_usable):
    """Of those in [0, 1] it would make black, without a word."""
    found = unusable_values(np.array(values)[None, None, None], ["rgb_to_0_1"])
    assert (found is None) == is_usable
    assert found is None or re.search(
        r"values from \S+ to \S+, where 'rgb_to_0_1' wants 0 to 255; store them so", found
    )


def test_each_channel_is_what_its_name_says():
    colour, ct = np.array([[0.0, 0.5, 255.0]]), np.array([[-1000.0, 0.0, 3000.0]])
    values = np.stack([colour, ct])
    assert unusable_values(values, ["RGB_to_0_1", "CT"]) is None
    assert "values from -1000 to 3000" in unusable_values(values, ["CT", "rgb_to_0_1"])
    assert unusable_values(values, ["rgb_to_0_1"]) is None  # of other channels
