#!/usr/bin/env bash
# stardist 0.9.2: an image in which there is no cell and none was predicted has precision, recall, F1, accuracy and panoptic quality 0,
# the worst value. With matching_dataset(by_image=True), the mean over images, each such image pulls the scores of the data set down
# although its prediction is right, and a false cell in it costs nothing more. By default (by_image=False) all cells are counted in one
# pool and the image has no weight. What to do: score such an image 1, or leave it out of the mean.
#
# Seen, two images predicted perfectly, one of them without a cell: by_image=False 1.0, by_image=True 0.5, also with a cell invented.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet stardist==0.9.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from stardist.matching import matching, matching_dataset

SCORES = ("precision", "recall", "f1", "accuracy", "panoptic_quality")
nothing = np.zeros((32, 32), int)
cells = nothing.copy()
cells[2:12, 2:12], cells[15:25, 4:20] = 1, 2
invented = nothing.copy()
invented[20:25, 20:25] = 1


def scores(references, predictions, by_image):
    found = matching_dataset(references, predictions, by_image=by_image, show_progress=False)
    return [float(getattr(found, name)) for name in SCORES]


alone = [float(getattr(matching(nothing, nothing), name)) for name in SCORES]
pooled = scores([cells, nothing], [cells, nothing], by_image=False)
by_image = scores([cells, nothing], [cells, nothing], by_image=True)
worse = scores([cells, nothing], [cells, invented], by_image=True)
print("stardist", version("stardist"), *SCORES)
print("an image without cells:", alone, "two images, pooled:", pooled)
print("by image:", by_image, "with a cell invented:", worse)
assert pooled == [1] * 5
assert alone == [0] * 5, "changed: an image without cells is not scored 0"
assert by_image == worse == [0.5] * 5, "changed: an image without cells is not averaged as 0"
PYTHON
