#!/usr/bin/env bash
# tifffile 2026.3.3: imwrite of a stack whose slices are one pixel wide, (5, 20, 1), makes one page of 5 x 20 pixels, not five pages of 20 x 1,
# also with photometric="minisblack". tifffile's imread gives (5, 20, 1) back by a note in the description; Pillow, and whatever
# else goes by the pages, sees a single image. Slices that are one pixel high, (5, 1, 20), are five pages. Written page by page,
# with metadata=None, the stack is one to all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tifffile==2026.3.3 Pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import PIL
import tifffile
from PIL import Image

print("tifffile", tifffile.__version__, "Pillow", PIL.__version__)


def seen_by_pillow(path):
    with Image.open(path) as image:
        return image.n_frames, (image.height, image.width)


seen = {}
for shape in ((5, 20, 1), (5, 1, 20), (3, 20, 1)):
    stack = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    tifffile.imwrite("at_once.tif", stack, photometric="minisblack")
    with tifffile.TiffWriter("by_page.tif") as file:
        for page in stack:
            file.write(page, photometric="minisblack", metadata=None)
    seen[shape] = {name: (tifffile.imread(f"{name}.tif").shape, *seen_by_pillow(f"{name}.tif")) for name in ("at_once", "by_page")}
    print(shape, seen[shape])
    assert seen[shape]["by_page"] == (shape, shape[0], shape[1:])
assert seen[5, 20, 1]["at_once"] == ((5, 20, 1), 1, (5, 20)), "changed: narrow pages"
assert seen[3, 20, 1]["at_once"] == ((3, 20, 1), 1, (3, 20)), "changed: three narrow pages"
assert seen[5, 1, 20]["at_once"] == ((5, 1, 20), 5, (1, 20)), "changed: low pages"
PYTHON
