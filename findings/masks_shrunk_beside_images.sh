#!/usr/bin/env bash
# Image and mask that are shrunk together come apart by up to half a pixel, with the "nearest" that is offered for masks: MONAI 1.6.1
# (Resized) and albumentations 2.0.8 (Resize, by its default) take the first of the pixels that become one, the image has their
# mean. Shrunk by a factor r the mask lies (r - 1) / 2 of the old pixels off, towards the end, and a network learns it.
# MONAI's "nearest-exact" takes the pixel in the middle, as TorchIO 1.2.1 does unasked.
#
# Seen, a disc as its own mask, from 95 to 19 pixels: the image's centre stays in the middle, 9.0, the mask's is at 9.5 in rows and
# columns, and the Dice of the two is 0.87; with nearest-exact and TorchIO 9.0 and 1.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 albumentations==2.0.8 opencv-python-headless==5.0.0.93 torchio==1.2.1 numpy==2.4.6 scipy==1.17.1
export NO_ALBUMENTATIONS_UPDATE=1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import albumentations
import numpy as np
import torch
import torchio
from monai.transforms import Resized

rows, columns = np.mgrid[:95, :95]
image = ((rows - 47) ** 2 + (columns - 47) ** 2 < 16**2).astype(np.float32)
mask = image.astype(np.uint8)


def by_monai(mode):
    both = {"image": torch.from_numpy(image)[None], "mask": torch.from_numpy(mask)[None]}
    shrunk = Resized(["image", "mask"], (19, 19), mode=["bilinear", mode])(both)
    return shrunk["image"][0], shrunk["mask"][0]


def by_albumentations():
    shrunk = albumentations.Resize(19, 19)(image=image, mask=mask)
    return shrunk["image"], shrunk["mask"]


def by_torchio():
    images = torchio.ScalarImage(tensor=image[None, :, :, None]), torchio.LabelMap(tensor=mask[None, :, :, None])
    shrunk = torchio.Resize((19, 19, 1))(torchio.Subject(image=images[0], mask=images[1]))
    return shrunk["image"].data.squeeze(), shrunk["mask"].data.squeeze()


print(*(f"{name} {version(name)}" for name in ("monai", "albumentations", "torchio", "opencv-python-headless")))
for name, (small, label), wanted in (
    ("monai, nearest", by_monai("nearest"), (9.5, 0.87)),
    ("albumentations", by_albumentations(), (9.5, 0.87)),
    ("monai, nearest-exact", by_monai("nearest-exact"), (9, 1)),
    ("torchio", by_torchio(), (9, 1)),
):
    small, label = np.asarray(small, float), np.asarray(label, float)
    centres = [(array.sum(1) @ np.arange(19)) / array.sum() for array in (small, label)]
    dice = 2 * ((small > 0.5) & (label > 0.5)).sum() / ((small > 0.5).sum() + (label > 0.5).sum())
    print(f"{name}: centre of the image {centres[0]:.2f}, of the mask {centres[1]:.2f}, Dice {dice:.2f}")
    np.testing.assert_allclose((*centres, dice), (9, *wanted), atol=0.01, err_msg=f"changed: {name}")
PYTHON
