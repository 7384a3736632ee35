#!/usr/bin/env bash
# monai 1.6.1: LoadImage reads label maps as float32, its default, in which not every integer above 16,777,216 exists. Atlases number their
# regions by identifiers of nine digits (the Allen mouse brain atlas does), and instance labels of large volumes get there as well:
# different regions of such a map become one, without a warning. SimpleITK 2.5.7, nibabel 5.4.2 and TorchIO 1.2.1 keep them.
# What to do: LoadImage(dtype=None), or dtype=np.int64.
#
# Seen: of the labels 16777217, 312782546 and 312782550 MONAI makes 16777216 and, of the other two, 312782560; with dtype=None all three.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 torchio==1.2.1 nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - "$folder/atlas.nii.gz" <<'PYTHON'
import sys
from importlib.metadata import version

import nibabel
import numpy as np
import SimpleITK as sitk
import torchio
from monai.transforms import LoadImage

path = sys.argv[1]
regions = [16777217, 312782546, 312782550]
nibabel.save(nibabel.Nifti1Image(np.repeat(np.array(regions, np.uint32), 9).reshape(3, 3, 3), np.eye(4)), path)


def found(array):
    return np.unique(np.asarray(array)).astype(np.int64).tolist()


print(*(f"{name} {version(name)}" for name in ("monai", "torchio", "nibabel", "SimpleITK")))
default, kept = found(LoadImage()(path)), found(LoadImage(dtype=None)(path))
others = {
    "nibabel": found(nibabel.load(path).get_fdata()),
    "SimpleITK": found(sitk.GetArrayFromImage(sitk.ReadImage(path))),
    "TorchIO": found(torchio.LabelMap(path).data),
}
print("stored:", regions, "MONAI:", default, "with dtype=None:", kept, "others:", others)
assert kept == regions and all(labels == regions for labels in others.values())
assert default == [16777216, 312782560], "changed: MONAI keeps large labels"
PYTHON
