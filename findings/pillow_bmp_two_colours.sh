#!/usr/bin/env bash
# Pillow 13.0.0: a BMP of 4 or 8 bits per pixel whose palette has the two entries black and white, as binary masks are stored, gets mode
# "1", and its bytes are then unpacked as if each bit were a pixel: other pixels, no warning. Pillow writes such files itself and does
# not read them back. scikit-image 0.26.0 and imageio 2.38.1 read BMP by Pillow; OpenCV 5.0.0.93 reads the file right.
#
# Seen: a mask of 8x16 pixels, 71 of them white. With 1 bit per pixel all read 71; with 4 bits Pillow 20, with 8 bits 10, OpenCV 71.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet Pillow==13.0.0 scikit-image==0.26.0 imageio==2.38.1 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import struct

import cv2
import imageio.v3 as imageio
import numpy as np
import PIL
from PIL import Image
from skimage.io import imread

PALETTE = bytes([0, 0, 0, 0, 255, 255, 255, 0])


def write(path, mask, bits):
    pixels = (mask[::-1, :, None] >> np.arange(bits)[::-1]) & 1
    rows = b"".join(row + bytes(-len(row) % 4) for row in map(bytes, np.packbits(pixels.reshape(len(mask), -1), axis=1)))
    header = struct.pack("<IiiHHIIiiII", 40, mask.shape[1], mask.shape[0], 1, bits, 0, len(rows), 0, 0, 2, 2)
    with open(path, "wb") as file:
        file.write(b"BM" + struct.pack("<IHHI", 62 + len(rows), 0, 0, 62) + header + PALETTE + rows)


mask = np.random.default_rng(0).integers(0, 2, (8, 16)).astype(np.uint8)
print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "white pixels:", mask.sum())
for bits in (1, 4, 8):
    write("mask.bmp", mask, bits)
    with Image.open("mask.bmp") as image:
        mode, by_pillow = image.mode, np.asarray(image)
    by_opencv = cv2.imread("mask.bmp", cv2.IMREAD_UNCHANGED) > 0
    print(f"{bits} bits per pixel: Pillow {mode} with {by_pillow.sum()} white, OpenCV {by_opencv.sum()}")
    assert (by_opencv == mask).all(), "changed: OpenCV"
    assert mode == "1" and (by_pillow == mask).all() == (bits == 1), "changed: Pillow"
    assert (imread("mask.bmp") == mask).all() == (imageio.imread("mask.bmp") == mask).all() == (bits == 1), "changed: readers by Pillow"
image = Image.fromarray(mask)
image.putpalette([0, 0, 0, 255, 255, 255])
image.save("own.bmp")
with Image.open("own.bmp") as image:
    own = np.asarray(image)
print("written by Pillow itself:", own.sum(), "white by Pillow,", (cv2.imread("own.bmp", 0) > 0).sum(), "by OpenCV")
assert (own != mask).any() and ((cv2.imread("own.bmp", 0) > 0) == mask).all(), "changed: Pillow's own file"
PYTHON
