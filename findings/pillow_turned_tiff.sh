#!/usr/bin/env bash
# Pillow 13.0.0: an uncompressed grey TIFF whose tag Orientation is 5 to 8 (rows and columns exchanged) is read scrambled when it is
# opened by its path: the turned pixels lie in an array of the unturned size. The same bytes from memory are read right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet Pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__)
image = np.arange(20, dtype=np.uint8).reshape(4, 5)
for orientation in range(1, 9):
    tifffile.imwrite("image.tif", image, photometric="minisblack", extratags=[(274, "H", 1, orientation, True)])
    by_path = np.asarray(Image.open("image.tif"))
    with open("image.tif", "rb") as file:
        from_memory = np.asarray(Image.open(io.BytesIO(file.read())))
    print(f"orientation {orientation}: by path {by_path.shape}, from memory {from_memory.shape}")
    same = by_path.shape == from_memory.shape and bool((by_path == from_memory).all())
    assert same == (orientation < 5), f"changed: orientation {orientation}"
    assert from_memory.shape == ((4, 5) if orientation < 5 else (5, 4)), "changed: from memory"
PYTHON
