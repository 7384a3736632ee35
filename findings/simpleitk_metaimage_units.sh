#!/usr/bin/env bash
# SimpleITK 2.5.7 passes over the unit that a MetaImage header may state (DistanceUnits): voxels of 500 um are read as 500 mm, without
# a warning, where the same statement in NIfTI is converted.
#
# Seen: ElementSpacing 500 with DistanceUnits um gives a spacing of 500, and so does mm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import SimpleITK

image = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.uint8))
image.SetSpacing((500, 500, 500))
SimpleITK.WriteImage(image, "image.mha")
content = open("image.mha", "rb").read()
spacings = {}
for unit in ("mm", "um", "cm"):
    with open(f"{unit}.mha", "wb") as file:
        file.write(content.replace(b"DimSize", f"DistanceUnits = {unit}\nDimSize".encode(), 1))
    spacings[unit] = SimpleITK.ReadImage(f"{unit}.mha").GetSpacing()
print("SimpleITK", SimpleITK.Version.VersionString(), spacings)
assert set(spacings.values()) == {(500.0, 500.0, 500.0)}, "changed: the unit is followed"
PYTHON
