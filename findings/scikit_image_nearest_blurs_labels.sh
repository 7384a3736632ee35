#!/usr/bin/env bash
# scikit-image 0.26.0: resize and rescale of a label map to fewer pixels invent labels although order=0, the nearest pixel, is asked for,
# if the map is of floats, as nibabel's get_fdata and MONAI's LoadImage give it: anti_aliasing, on unless told not to, blurs
# it first. Maps of integers are left alone. Rounded, the blurred border of a 3 on background is a rim of other labels.
# What to do: anti_aliasing=False, or astype(int) before.
#
# Seen, a square of label 3 from 64 to 24 pixels: {0, 3} from uint8; 18 values and, rounded, {0, 2, 3} from float32 and float64;
# {0, 3} from all with anti_aliasing=False.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-image==0.26.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import skimage
from skimage.transform import rescale, resize

labels = np.zeros((64, 64), np.uint8)
labels[11:42, 11:42] = 3
print("scikit-image", skimage.__version__)
for kind in (np.uint8, np.float32, np.float64):
    for name, shrink in (
        ("resize", lambda array, **options: resize(array, (24, 24), order=0, preserve_range=True, **options)),
        ("rescale", lambda array, **options: rescale(array, 0.375, order=0, preserve_range=True, **options)),
    ):
        found = np.unique(shrink(labels.astype(kind)))
        rounded = np.unique(np.round(found)).astype(int).tolist()
        sharp = np.unique(shrink(labels.astype(kind), anti_aliasing=False)).astype(int).tolist()
        print(f"{name} of {kind.__name__}: {len(found)} values, rounded {rounded}; without anti-aliasing {sharp}")
        assert sharp == [0, 3]
        if kind is np.uint8:
            assert found.tolist() == [0, 3]
        else:
            assert len(found) > 10 and rounded == [0, 2, 3], "changed: labels in floats are left alone"
PYTHON
