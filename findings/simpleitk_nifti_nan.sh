#!/usr/bin/env bash
# SimpleITK 2.5.7: NaN and infinity in a NIfTI file are read as 0, without a warning, also from a file that SimpleITK itself
# has written; MetaImage and NRRD keep them, and nibabel 5.4.2 reads them from the same file. nnU-Net reads .nii.gz with
# SimpleITK, so whatever marks "no value" by NaN is trained on as 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK

values = np.arange(8, dtype=np.float32).reshape(2, 2, 2) + 1
values[0, 0] = np.nan, np.inf
print("SimpleITK", SimpleITK.Version.VersionString(), "nibabel", nibabel.__version__)
read = {}
for ending in (".nii.gz", ".nii", ".mha", ".nrrd"):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), f"image{ending}")
    read[ending] = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(f"image{ending}"))
    print(f"SimpleITK, {ending}: {read[ending][0, 0].tolist()}")
other = np.asarray(nibabel.load("image.nii.gz").dataobj).T
print(f"nibabel, .nii.gz: {other[0, 0].tolist()}")
for ending in (".nii.gz", ".nii"):
    assert read[ending][0, 0].tolist() == [0, 0], f"changed: {ending} keeps them"
for array in (read[".mha"], read[".nrrd"], other):
    np.testing.assert_array_equal(array, values)
PYTHON
