#!/usr/bin/env bash
# tifffile 2026.3.3 and Pillow 13.0.0: imwrite of a mask of bool stores one bit a pixel and, without being asked, the tag that 0 is white.
# tifffile reads its own file as it was, since it leaves that tag aside; Pillow obeys the tag and gives the opposite: background is object
# and object background. imageio gives one or the other by the plugin that it takes. The same mask as uint8 is the same in all.
# What to do: write masks as uint8, or with photometric="minisblack".
#
# Seen: of 320 pixels with 35 True, tifffile reads 35, Pillow 285; with photometric="minisblack", and as uint8, both 35.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tifffile==2026.3.3 Pillow==13.0.0 imageio==2.38.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/mask.tif" <<'PYTHON'
import sys
from importlib.metadata import version

import imageio.v3 as imageio
import numpy as np
import tifffile
from PIL import Image

path = sys.argv[1]
mask = np.zeros((16, 20), bool)
mask[4:9, 5:12] = True


def counted():
    readers = {
        "tifffile": tifffile.imread(path),
        "Pillow": np.asarray(Image.open(path)),
        "imageio by tifffile": imageio.imread(path, plugin="tifffile"),
        "imageio by Pillow": imageio.imread(path, plugin="pillow"),
    }
    return {name: int(np.count_nonzero(read)) for name, read in readers.items()}


print(*(f"{name} {version(name)}" for name in ("tifffile", "Pillow", "imageio")))
tifffile.imwrite(path, mask)
default, tag = counted(), tifffile.TiffFile(path).pages[0].photometric.name
tifffile.imwrite(path, mask, photometric="minisblack")
asked = counted()
tifffile.imwrite(path, mask.astype(np.uint8))
as_bytes = counted()
print("True:", int(mask.sum()), "of bool:", tag, default, "minisblack:", asked, "uint8:", as_bytes)
assert tag == "MINISWHITE"
assert default == {"tifffile": 35, "Pillow": 285, "imageio by tifffile": 35, "imageio by Pillow": 285}
assert set(asked.values()) == set(as_bytes.values()) == {35}
PYTHON
