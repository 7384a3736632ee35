#!/usr/bin/env bash
# scipy 1.17.1: the distance of each pixel to the background, where there is no background, is neither infinite nor an error: distance_
# transform_edt measures it to an invented point beside the first row, at (-1, 0, ...). Its other two transforms say what they
# do not know by -1 and by 1e154. So a distance map of a patch that lies within an organ, or of a class that fills its image (and
# by ~mask of one that is not there), rises smoothly from one corner, and a loss or a score that is weighted by it changes
# when the image is flipped.
#
# Seen: of a 3x4 array of ones 1, 1.41, 2.24, 3.16 in the first row and 3 to 4.24 in the last.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import scipy
from scipy import ndimage

full = np.ones((3, 4), dtype=bool)
distance = ndimage.distance_transform_edt(full)
rows, columns = np.mgrid[:3, :4]
print("scipy", scipy.__version__, "distances to a background that is not there:", distance.round(2).tolist())
np.testing.assert_allclose(distance, np.hypot(rows + 1, columns), err_msg="changed: the invented point")
volume = ndimage.distance_transform_edt(np.ones((2, 3, 4)), sampling=(5, 1, 1))
assert volume[0, 0, 0] == 5 and volume[1, 0, 0] == 10, "changed: in volumes"

# A weight by depth, of one and the same error at the two ends of an image that is foreground throughout.
error = np.zeros((64, 64))
error[0, 0] = 1
depth = ndimage.distance_transform_edt(np.ones((64, 64)))
first, last = (error * depth).sum(), (error[::-1, ::-1] * depth).sum()
print(f"the same wrong pixel weighs {first:.1f} in the first corner and {last:.1f} in the last")
assert first == 1 and last > 89, "changed: the weight of a wrong pixel"
assert (ndimage.distance_transform_cdt(full) == -1).all() and (ndimage.distance_transform_bf(full) > 1e150).all(), "changed: the other two"
PYTHON
