#!/usr/bin/env bash
# Pillow 13.0.0 (and scikit-image 0.26.0, which reads PNG by it) changes the values of PNG files without a word: grey of 2 and 4 bits is
# stretched to 0...255, so that a label 3 becomes 255 or 51, and 16-bit colour and grey+alpha lose their lower 8 bits. Grey of 8
# and 16 bits is read as it stands. imagecodecs 2026.3.6 keeps the 16 bits and stretches too.
#
# Seen: 4-bit 0, 1, 2, 15 read as 0, 17, 34, 255; 16-bit colour 1, 256, 1000 as 0, 1, 3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet Pillow==13.0.0 scikit-image==0.26.0 imagecodecs==2026.3.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import struct
import zlib

import imagecodecs
import numpy as np
import PIL
import skimage
from PIL import Image
from skimage.io import imread

GREY, COLOUR, GREY_ALPHA = 0, 2, 4  # colour types of PNG


def write(path, width, depth, colour_type, row):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, 1, depth, colour_type, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b""))


def sixteen(*values):
    return struct.pack(f">{len(values)}H", *values)


write("grey2.png", 4, 2, GREY, bytes([0b00_01_10_11]))
write("grey4.png", 4, 4, GREY, bytes([0x01, 0x2F]))
write("grey16.png", 2, 16, GREY, sixteen(1, 1000))
write("colour16.png", 2, 16, COLOUR, sixteen(1, 256, 1000, 65535, 40000, 300))
write("grey_alpha16.png", 2, 16, GREY_ALPHA, sixteen(1000, 65535, 40000, 65535))
seen = {}
print("Pillow", PIL.__version__, "scikit-image", skimage.__version__, "imagecodecs", imagecodecs.__version__)
for name in ("grey2", "grey4", "grey16", "colour16", "grey_alpha16"):
    with Image.open(f"{name}.png") as image:
        pillow = np.asarray(image)[0].tolist()
    decoded = imagecodecs.png_decode(open(f"{name}.png", "rb").read())[0].tolist()
    seen[name] = pillow, imread(f"{name}.png")[0].tolist(), decoded
    print(f"{name:14}", *seen[name])
assert seen["grey16"] == ([1, 1000],) * 3
assert seen["grey2"] == ([0, 85, 170, 255],) * 3, "changed: 2 bits"
assert seen["grey4"] == ([0, 17, 34, 255],) * 3, "changed: 4 bits"
assert seen["colour16"][:2] == ([[0, 1, 3], [255, 156, 1]],) * 2, "changed: 16-bit colour"
assert seen["grey_alpha16"][:2] == ([[3, 3, 3, 255], [156, 156, 156, 255]],) * 2, "changed: 16-bit grey and alpha"
assert seen["colour16"][2] == [[1, 256, 1000], [65535, 40000, 300]] and seen["grey_alpha16"][2] == [[1000, 65535], [40000, 65535]]
PYTHON
