#!/usr/bin/env bash
# scikit-image 0.26.0: imread of a TIFF of three or four grey pages gives an array of (H, W, pages), as if it were colour, and of
# two or five pages (pages, H, W). A stack of three slices is taken for one RGB image, transposed, and no option of the call tells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-image==0.26.0 tifffile==2026.3.3 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import skimage
import tifffile
from skimage.io import imread

print("scikit-image", skimage.__version__, "tifffile", tifffile.__version__)
for pages in (2, 3, 4, 5):
    stack = np.arange(pages * 20, dtype=np.uint8).reshape(pages, 4, 5)
    tifffile.imwrite("stack.tif", stack, photometric="minisblack")
    shape = imread("stack.tif").shape
    print(f"{pages} grey pages of 4 × 5: imread gives {shape}, tifffile {tifffile.imread('stack.tif').shape}")
    assert tifffile.imread("stack.tif").shape == stack.shape, "changed: tifffile"
    assert shape == ((4, 5, pages) if pages in (3, 4) else stack.shape), "changed: scikit-image"
PYTHON
