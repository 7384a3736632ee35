#!/usr/bin/env bash
# monai 1.6.1: a MetaTensor carries the affine of its image along, but indexing, flip, permute and torch's interpolate leave it as it was.
# image[:, 40:] still claims the whole image's corner, a flipped image still lies the other way round, and SaveImage writes files that
# are in the wrong place, mirrored or of the wrong voxel size, without a warning. MONAI's own transforms (SpatialCrop, Flip,
# Orientation, Zoom) keep it right. What to do: use those, or do not rely on the affine.
#
# Seen, voxels of 2 mm: a single bright voxel at (100, 20, 32) mm is, in the saved file, at (20, 20, 32) mm after [:, 40:], at (98, 20, 32) mm
# after flip and at half its place after interpolate to half the size; at (100, 20, 32) mm after SpatialCrop and Flip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 nibabel==5.4.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import monai
import nibabel
import numpy as np
import torch
from monai.transforms import Flip, LoadImage, SaveImage, SpatialCrop

folder = Path(sys.argv[1])
voxels = np.zeros((100, 40, 40), np.float32)
voxels[50, 10, 16] = 1
nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2, 2, 1])), folder / "image.nii")
image = LoadImage(ensure_channel_first=True)(folder / "image.nii")


def place_in_file(name, changed):
    """Where the brightest voxel of the saved file is, in mm."""
    SaveImage(folder, output_postfix=name, output_ext=".nii", resample=False, separate_folder=False, print_log=False)(changed)
    saved = nibabel.load(folder / f"image_{name}.nii")
    voxel = np.unravel_index(np.argmax(saved.get_fdata()), saved.shape)
    return nibabel.affines.apply_affine(saved.affine, voxel).tolist()


print("monai", monai.__version__, "torch", torch.__version__)
right = {
    "as_it_is": image,
    "SpatialCrop": SpatialCrop(roi_start=(40, 0, 0), roi_end=(100, 40, 40))(image),
    "Flip": Flip(0)(image),
}
moved = {
    "slice": (image[:, 40:], [20, 20, 32]),
    "flip": (image.flip(1), [98, 20, 32]),
    "permute": (image.permute(0, 3, 2, 1), [32, 20, 100]),
    "interpolate": (torch.nn.functional.interpolate(image[None], scale_factor=0.5)[0], [50, 10, 16]),
}
for name, changed in right.items():
    print(f"{name}: {place_in_file(name, changed)} mm")
    assert place_in_file(name, changed) == [100, 20, 32]
for name, (changed, place) in moved.items():
    found = place_in_file(name, changed)
    print(f"torch's {name}: {found} mm")
    assert torch.equal(changed.affine, image.affine), f"changed: {name} changes the affine"
    assert found == place
PYTHON
