"""Images of any depth become three channels in [0, 1]."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage.io import imsave
from swin_umamba.common.errors import UserError
from swin_umamba.pretraining.images import read_image, read_size

RAMP = np.linspace(0, 1, 40 * 50).reshape(40, 50)


@pytest.fixture
def write(tmp_path):
    def write(name, array, **options):
        path = tmp_path / name
        if path.suffix == ".tif":
            tifffile.imwrite(path, array, **options)
        else:
            imsave(path, array, check_contrast=False)
        return path

    return write


@pytest.mark.parametrize("name", ["grey.png", "grey.tif", "grey.bmp"])
def test_an_8_bit_greyscale_image_is_divided_by_255(write, name):
    array = np.round(100 * RAMP).astype(np.uint8)
    image = read_image(write(name, array))
    assert image.shape == (3, 40, 50)
    assert torch.equal(image, torch.from_numpy(array.astype(np.float32) / 255).expand(3, 40, 50))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("deep.png", np.round(4095 * RAMP).astype(np.uint16)),
        ("deep.tif", np.round(4095 * RAMP).astype(np.uint16)),
        ("signed.tif", np.round(2000 * RAMP - 1000).astype(np.int16)),
        ("float.tif", (1e-3 * RAMP).astype(np.float32)),
    ],
)
def test_a_deeper_image_is_scaled_by_its_percentiles(write, name, array):
    array.flat[7] = array.max() * 3  # one hot pixel
    image = read_image(write(name, array))
    assert image.dtype == torch.float32
    assert image.shape == (3, 40, 50)
    assert (image.min(), image.max()) == (0, 1)
    assert image[0, 20, 25] == pytest.approx(RAMP[20, 25], abs=0.02)


def test_colour_keeps_its_channels_and_loses_alpha(write):
    colour = np.random.default_rng(0).integers(0, 256, (40, 50, 4)).astype(np.uint8)
    expected = torch.from_numpy(colour[..., :3].transpose(2, 0, 1).astype(np.float32) / 255)
    assert torch.equal(read_image(write("colour.png", colour)), expected)
    assert torch.equal(read_image(write("colour.tif", colour, photometric="rgb")), expected)


def test_a_cmyk_jpeg_is_read_as_its_colours(tmp_path):
    Image.new("RGB", (50, 40), (200, 30, 60)).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    colour = read_image(tmp_path / "print.jpg").mean((1, 2))
    torch.testing.assert_close(colour, torch.tensor([200, 30, 60]) / 255, atol=0.03, rtol=0)


def test_a_constant_deep_image_is_black(write):
    assert read_image(write("flat.tif", np.full((40, 50), 700, np.uint16))).abs().max() == 0


@pytest.mark.parametrize("name", ["size.png", "size.tif"])
def test_the_size_is_read_from_the_header(write, name):
    assert read_size(write(name, np.zeros((40, 50), np.uint8))) == (40, 50)


@pytest.mark.parametrize("name", ["text.png", "text.jpg", "text.tif"])
def test_a_file_that_is_no_image_is_named(tmp_path, name):
    (tmp_path / name).write_text("not an image")
    for read in (read_size, read_image):
        with pytest.raises(UserError, match=rf"{name}.* cannot be read"):
            read(tmp_path / name)


def test_a_truncated_image_is_named(write):
    path = write("half.png", np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UserError, match=r"half\.png cannot be read"):
        read_image(path)


def test_a_stack_and_nan_are_refused(write):
    with pytest.raises(UserError, match=r"stack\.tif has shape \(7, 40, 50\); wanted is one 2-D image"):
        read_image(write("stack.tif", np.zeros((7, 40, 50), np.uint8), photometric="minisblack"))
    broken = RAMP.astype(np.float32)
    broken[3, 4] = np.nan
    with pytest.raises(UserError, match=r"nan\.tif holds NaN"):
        read_image(write("nan.tif", broken))


def test_an_image_that_is_stored_turned_is_taken_as_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (3, 40, 50)


@pytest.mark.parametrize("bits", [1, 8])
def test_the_largest_value_of_few_bits_is_1(tmp_path, bits):
    Image.fromarray(np.full((40, 50), 255, np.uint8)).convert("1" if bits == 1 else "L").save(tmp_path / "white.png")
    assert read_image(tmp_path / "white.png").min() == 1


def test_colours_of_16_bits_are_scaled_too(tmp_path):
    colours = np.stack([RAMP, 1 - RAMP, RAMP / 2], -1)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(np.round(4095 * colours).astype(np.uint16)))
    image = read_image(tmp_path / "deep.png")
    torch.testing.assert_close(image, torch.from_numpy(colours.transpose(2, 0, 1)).float(), atol=0.02, rtol=0)
