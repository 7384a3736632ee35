#!/usr/bin/env bash
# SimpleITK 2.5.7 converts the voxel sizes of a NIfTI header whose unit is micrometre or metre to mm; nibabel 5.4.2 gives the
# numbers as they stand, by get_zooms() and in the affine. nnU-Net reads .nii.gz by the first and .nii by the second, so that one
# microscope image has two spacings, a thousand apart, by the ending of its name.
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
for unit, factor in (("mm", 1), ("micron", 1e-3), ("meter", 1e3)):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.diag([2.0, 2.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, "image.nii.gz")
    itk = SimpleITK.ReadImage("image.nii.gz").GetSpacing()
    other = nibabel.load("image.nii.gz")
    print(f"{unit}: SimpleITK {itk}, nibabel {tuple(map(float, other.header.get_zooms()))}")
    assert np.allclose(itk, np.array([2, 2, 4]) * factor), "changed: SimpleITK"
    assert np.allclose(other.header.get_zooms(), [2, 2, 4]), "changed: nibabel"
    assert np.allclose(np.diag(other.affine)[:3], [2, 2, 4]), "changed: nibabel's affine"
PYTHON
