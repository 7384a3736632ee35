#!/usr/bin/env bash
# pycocotools 2.0.11 gives a perfect prediction less than 1 in two cases, without a word. An annotation whose id is 0, as in files that
# count from 0, is taken for one that nothing was matched with. And of an image only the 100 detections of the highest score count, so
# that with more objects, as in images of cells, AP is at most about 100 divided by their number; with another maxDets, the parameter
# for that, stats[0] is -1, as it looks for 100 alone. What to do: ids from 1, and the mean of eval["precision"] with a larger maxDets.
#
# Seen, each detection a copy of its annotation: 5 objects 1.0, with ids from 0 instead of from 1 0.64; 250 objects 0.41, with
# maxDets [1, 10, 1000] stats[0] is -1 and the mean of the last precision 1.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pycocotools==2.0.11 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def encode(number):
    row, column = divmod(number, 20)
    array = np.zeros((400, 400), np.uint8, order="F")
    array[row * 20 : row * 20 + 15, column * 20 : column * 20 + 15] = 1
    return mask.encode(array)


def score(objects, first_id=1, max_detections=None):
    """AP by ``stats``, and the mean precision at the last of ``maxDets``, of a prediction that is the reference."""
    annotations, detections = [], []
    for number in range(objects):
        segmentation = encode(number)
        common = {"image_id": 1, "category_id": 1, "segmentation": segmentation}
        annotations.append({**common, "id": first_id + number, "area": 225, "bbox": mask.toBbox(segmentation), "iscrowd": 0})
        detections.append({**common, "score": 0.9})
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        image = {"id": 1, "height": 400, "width": 400}
        reference.dataset = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(detections), "segm")
        if max_detections:
            evaluation.params.maxDets = max_detections
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.eval["precision"][:, :, 0, 0, -1].mean()


print("pycocotools", version("pycocotools"))
few, from_zero, many = score(5), score(5, first_id=0), score(250)
more = score(250, max_detections=[1, 10, 1000])
print(f"5 objects: {few[0]:.2f}; ids from 0: {from_zero[0]:.2f}; 250 objects: {many[0]:.2f}")
print(f"250 objects, maxDets up to 1000: stats[0] {more[0]:.2f}, mean of the precision {more[1]:.2f}")
assert few == (1, 1)
assert abs(from_zero[0] - 0.64) < 0.01, "changed: an id of 0 is matched"
assert abs(many[0] - 0.41) < 0.01, "changed: more than 100 detections count"
assert more[1] == 1
assert more[0] == -1, "changed: stats[0] goes by maxDets"
PYTHON
