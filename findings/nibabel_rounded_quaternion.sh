#!/usr/bin/env bash
# nibabel 5.4.2 refuses a NIfTI file whose quaternion was rounded to a few digits, so that it is a little longer than 1: get_qform and
# the affine raise "w2 should be positive". SimpleITK 2.5.7 reads the same file, with the rotation that was meant. nnU-Net reads
# .nii.gz by the second and .nii by the first, so that the ending decides whether such an image is readable.
#
# Seen: b, c, d of (0.7071, 0.7072, 0): nibabel ValueError, SimpleITK a direction of zeros and ones to 1e-3. With (0.70710677,
# 0.70710677, 0) both read it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK


def read(quaternion):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    image.header["qform_code"] = 1
    for name, value in zip(("quatern_b", "quatern_c", "quatern_d"), quaternion, strict=True):
        image.header[name] = value
    nibabel.save(image, "image.nii")
    direction = np.reshape(SimpleITK.ReadImage("image.nii").GetDirection(), (3, 3))
    try:
        return nibabel.load("image.nii").affine, direction
    except ValueError as error:
        return f"{type(error).__name__}: {error}", direction


print("nibabel", nibabel.__version__, "SimpleITK", SimpleITK.Version.VersionString())
exact, rounded = read((0.70710677, 0.70710677, 0)), read((0.7071, 0.7072, 0))
print("float32:", exact[0][:3, :3].tolist(), exact[1].tolist())
print("four digits:", rounded[0], rounded[1].round(5).tolist())
assert isinstance(exact[0], np.ndarray)
assert isinstance(rounded[0], str) and "w2 should be positive" in rounded[0], "changed: nibabel reads it"
np.testing.assert_allclose(rounded[1], exact[1], atol=1e-3)
PYTHON
