#!/usr/bin/env bash
# scikit-image 0.26.0: remove_small_objects takes the specks out of a mask of bool, but leaves all of them in a segmentation whose numbers
# are classes: there every number is one object, wherever its pixels lie. With two classes or more nothing is said; the same mask as
# uint8 of one class gets a warning. MONAI 1.6.1's RemoveSmallObjects, which uses it, leaves them as well unless the classes are one-hot.
# What to do: clean each class by itself, as bool.
#
# Seen, two classes, a square of 400 pixels and 20 single pixels of each: as one label map nothing is removed, without a warning; class by
# class as bool, and by MONAI one-hot, all 40 single pixels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 scikit-image==0.26.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import warnings
from importlib.metadata import version

import numpy as np
from skimage.morphology import remove_small_objects

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.transforms import RemoveSmallObjects

classes = np.zeros((80, 80), np.uint8)
for number, column in ((1, 5), (2, 45)):
    classes[5:25, column : column + 20] = number
    classes[40:80:2, column] = number


def specks(array):
    """Pixels that are left of the single ones of each class."""
    return [int((np.asarray(array)[40:] == number).sum()) for number in (1, 2)]


with warnings.catch_warnings():
    warnings.simplefilter("error")
    as_one = remove_small_objects(classes, max_size=10)
by_class = sum(number * remove_small_objects(classes == number, max_size=10).astype(np.uint8) for number in (1, 2))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    single = remove_small_objects((classes == 1).astype(np.uint8), max_size=10)
    by_monai = RemoveSmallObjects(min_size=10)(classes[None])[0]
    one_hot = np.stack([classes == number for number in (0, 1, 2)]).astype(np.uint8)
    by_monai_one_hot = np.asarray(RemoveSmallObjects(min_size=10)(one_hot)).argmax(0)
print(*(f"{name} {version(name)}" for name in ("scikit-image", "monai")))
print("specks before:", specks(classes), "after, as one label map:", specks(as_one))
print("class by class:", specks(by_class), "by MONAI:", specks(by_monai), "one-hot:", specks(by_monai_one_hot), "one class of uint8:", specks(single), [str(w.message) for w in told][:1])
assert specks(classes) == [20, 20] and specks(by_class) == specks(by_monai_one_hot) == [0, 0]
assert all((np.asarray(array)[:40] == classes[:40]).all() for array in (by_class, by_monai_one_hot, as_one))
assert specks(as_one) == specks(by_monai) == [20, 20], "changed: specks of classes are removed"
PYTHON
