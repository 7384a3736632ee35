#!/usr/bin/env bash
# SimpleITK 2.5.7 and nibabel 5.4.2 put one NIfTI file at two places where it has both a qform and an sform: nibabel goes by
# the sform, SimpleITK by the sform only if its code is 1 (scanner), and by the qform where the sform's code is 2, 3 or 4
# (aligned, Talairach, MNI), as files registered to a template have. No warning by either.
#
# Seen: an sform at (10, 20, 30) and a qform at (-10, -20, -30) mm; SimpleITK gives the second for the codes 2, 3 and 4.
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

print("SimpleITK", SimpleITK.Version.VersionString(), "nibabel", nibabel.__version__)
sform, qform = np.eye(4), np.eye(4)
sform[:3, 3], qform[:3, 3] = (10, 20, 30), (-10, -20, -30)
for code in (1, 2, 3, 4):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    image.set_sform(sform, code)
    image.set_qform(qform, 1)
    nibabel.save(image, "image.nii.gz")
    itk = np.array(SimpleITK.ReadImage("image.nii.gz").GetOrigin()) * (-1, -1, 1)  # ITK counts x and y the other way
    other = nibabel.load("image.nii.gz").affine[:3, 3]
    print(f"code of the sform {code}: SimpleITK {itk.tolist()}, nibabel {other.tolist()}")
    assert other.tolist() == [10, 20, 30], "changed: nibabel"
    assert itk.tolist() == ([10, 20, 30] if code == 1 else [-10, -20, -30]), "changed: SimpleITK"
PYTHON
