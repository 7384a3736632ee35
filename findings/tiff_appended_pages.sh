#!/usr/bin/env bash
# tifffile 2026.3.3 (and scikit-image 0.26.0, which uses it): imread of a TIFF whose pages were appended one by one gives the first
# page alone, without a warning, since each page is a series of its own; Pillow 13.0.0 counts all of them. Microscopes and scripts
# that write page by page make such files, and a stack becomes a single slice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-image==0.26.0 tifffile==2026.3.3 Pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import PIL
import tifffile
from PIL import Image
from skimage.io import imread

stack = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
with tifffile.TiffWriter("appended.tif") as file:
    for page in stack:
        file.write(page, photometric="minisblack")
tifffile.imwrite("together.tif", stack, photometric="minisblack")
print("tifffile", tifffile.__version__, "Pillow", PIL.__version__)
for name in ("together.tif", "appended.tif"):
    shapes = tifffile.imread(name).shape, imread(name).size, Image.open(name).n_frames
    print(f"{name}: tifffile {shapes[0]}, scikit-image {shapes[1]} values, Pillow {shapes[2]} pages")
assert tifffile.imread("appended.tif").shape == (4, 5), "changed: tifffile"
assert imread("appended.tif").size == 20, "changed: scikit-image"
assert Image.open("appended.tif").n_frames == 3, "changed: Pillow"
assert tifffile.imread("together.tif").shape == (3, 4, 5)
PYTHON
