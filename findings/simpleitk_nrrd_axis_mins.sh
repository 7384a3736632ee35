#!/usr/bin/env bash
# SimpleITK 2.5.7 reads an NRRD file that states its geometry by "axis mins" and "axis maxs", without "spacings", as voxels of 1 mm. Sizes,
# centering and the two fields fix the spacing, and SimpleITK computes by it the origin that it returns, the middle of the first cell:
# the origin belongs to one grid and the spacing to another, and nothing says so.
#
# Seen: 4 cells over 0...2 mm, 5 over 0...2.5, 6 over 0...12: origin (0.25, 0.25, 1), which is right, and spacing 1 for 0.5, 0.5, 2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SimpleITK==2.5.7
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import SimpleITK

MINS, MAXS = "axis mins: 0 0 0", "axis maxs: 2 2.5 12"
CELLS = ("centers: cell cell cell", MINS)
GEOMETRIES = {"spacings": (*CELLS, "spacings: 0.5 0.5 2"), "maxs": (*CELLS, MAXS), "both": (*CELLS, MAXS, "spacings: 0.5 0.5 2")}
seen = {}
for name, lines in GEOMETRIES.items():
    header = ("NRRD0004", "type: uint8", "dimension: 3", "sizes: 4 5 6", "encoding: raw", *lines)
    with open("image.nrrd", "wb") as file:
        file.write("\n".join(header).encode() + b"\n\n" + bytes(4 * 5 * 6))
    image = SimpleITK.ReadImage("image.nrrd")
    seen[name] = image.GetSpacing(), image.GetOrigin()
    print("SimpleITK", SimpleITK.Version.VersionString(), f"by {name}: spacing {seen[name][0]}, origin {seen[name][1]}")
assert seen["spacings"] == seen["both"] == ((0.5, 0.5, 2.0), (0.25, 0.25, 1.0))
assert seen["maxs"][1] == (0.25, 0.25, 1.0), "changed: the origin"
assert seen["maxs"][0] == (1.0, 1.0, 1.0), "changed: the spacing follows mins and maxs"
PYTHON
