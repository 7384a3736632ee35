#!/usr/bin/env bash
# SimpleITK 2.5.7 passes over the line from stored numbers to intensities that a MetaImage header may state
# (ElementToIntensityFunctionSlope and -Offset): it returns the stored numbers, without a warning and without a metadata entry of either,
# where it applies the same line of a NIfTI header (scl_slope, scl_inter). Written again as MetaImage, the file has lost both.
#
# Seen: stored 0, 1000, 2000 with slope 1 and offset -1024 are 0, 1000, 2000 from MetaImage and -1024, -24, 976 from NIfTI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import struct

import numpy as np
import SimpleITK

STORED, LINE = np.array([[[0, 1000, 2000]]], np.int16), (1, -1024)
image = SimpleITK.GetImageFromArray(STORED)
SimpleITK.WriteImage(image, "stored.mha")
SimpleITK.WriteImage(image, "stored.nii")
with open("stored.mha", "rb") as file:
    content = file.read()
lines = b"ElementToIntensityFunctionSlope = %d\nElementToIntensityFunctionOffset = %d\nDimSize" % LINE
with open("line.mha", "wb") as file:
    file.write(content.replace(b"DimSize", lines, 1))
with open("stored.nii", "rb") as file:
    content = file.read()
with open("line.nii", "wb") as file:
    file.write(content[:112] + struct.pack("<2f", *LINE) + content[120:])  # scl_slope and scl_inter
read = SimpleITK.ReadImage("line.mha")
by_meta, by_nifti = SimpleITK.GetArrayFromImage(read), SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("line.nii"))
SimpleITK.WriteImage(read, "again.mha")
with open("again.mha", "rb") as file:
    kept = b"ElementToIntensity" in file.read()
print("SimpleITK", SimpleITK.Version.VersionString(), "MetaImage", by_meta.ravel(), "NIfTI", by_nifti.ravel(), "kept:", kept)
assert (by_nifti == STORED - 1024).all(), "changed: NIfTI"
assert (by_meta == STORED).all(), "changed: MetaImage"
assert not any("Intensity" in key for key in read.GetMetaDataKeys()), "changed: the line is told"
assert not kept, "changed: the line is written again"
PYTHON
