#!/usr/bin/env bash
# SimpleITK 2.5.7 and nibabel 5.4.2 read other values from one NIfTI file whose scl_slope is 0, which by the standard means that
# the values are not scaled: nibabel leaves out scl_inter too, SimpleITK adds it. With a slope of 1 and an intercept of NaN it is
# the other way round: SimpleITK reads the stored values, nibabel refuses the file.
#
# Seen, stored 0, 1, 2 and intercept -10: nibabel 0, 1, 2, SimpleITK -10, -9, -8. nnU-Net reads .nii.gz by SimpleITK and .nii by
# nibabel, so that the ending decides what an image of Hounsfield units holds.
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
from nibabel.spatialimages import HeaderDataError

nibabel.save(nibabel.Nifti1Image(np.arange(3, dtype=np.int16).reshape(3, 1, 1), np.eye(4)), "stored.nii")
stored = open("stored.nii", "rb").read()


def written(slope, intercept):
    with open("image.nii", "wb") as file:  # scl_slope and scl_inter are at bytes 112 and 116
        file.write(stored[:112] + np.array([slope, intercept], "<f4").tobytes() + stored[120:])
    return "image.nii"


def itk(path):
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).ravel().tolist()


print("SimpleITK", SimpleITK.Version.VersionString(), "nibabel", nibabel.__version__)
path = written(0, -10)
ours, theirs = np.asanyarray(nibabel.load(path).dataobj).ravel().tolist(), itk(path)
print("slope 0, intercept -10: nibabel", ours, "SimpleITK", theirs)
assert ours == [0, 1, 2], "changed: nibabel scales"
assert theirs == [-10, -9, -8], "changed: SimpleITK leaves the intercept out"
path = written(1, np.nan)
theirs = itk(path)
try:
    refusal = str(nibabel.load(path).dataobj)
except HeaderDataError as error:
    refusal = f"HeaderDataError: {error}"
print("slope 1, intercept NaN: nibabel", refusal, "SimpleITK", theirs)
assert refusal == "HeaderDataError: Valid slope but invalid intercept nan", "changed: nibabel reads it"
assert theirs == [0, 1, 2], "changed: SimpleITK"
PYTHON
