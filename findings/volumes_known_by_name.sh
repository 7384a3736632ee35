#!/usr/bin/env bash
# What a volume's file is, nibabel 5.4.2 and SimpleITK 2.5.7 ask its name. Worst: nibabel takes scan.Nii for scan.nii, so that load()
# gives the values of another file where both are there, and "No such file" where only the first is, and save() writes over the
# other. SimpleITK refuses such names. A .nii that is packed by gzip neither reads, a .nii.gz that is not SimpleITK alone. For
# scan.MHA and scan.GIPL, as some systems name files, SimpleITK finds no reader; scan.NRRD it reads, and all where the reader is named.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import gzip
import os

import nibabel
import numpy as np
import SimpleITK

values = np.arange(60, dtype=np.int16).reshape(4, 5, 3)
image = nibabel.Nifti1Image(values, np.eye(4))
content = image.to_bytes()


def outcome(do):
    try:
        return "right" if do() else "wrong"
    except Exception as error:
        return type(error).__name__


def by_itk(path, reader=None):
    options = {"imageIO": reader} if reader else {}
    return np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path, **options)).T, values)


print("nibabel", nibabel.__version__, "SimpleITK", SimpleITK.Version.VersionString())
seen = {}
for name in ("packed.nii", "plain.nii.gz", "scan.Nii"):
    with open(name, "wb") as file:
        file.write(gzip.compress(content) if name.startswith("packed") else content)
    seen[name] = outcome(lambda: np.array_equal(nibabel.load(name).dataobj, values)), outcome(lambda: by_itk(name))
    print(f"{name:12} nibabel {seen[name][0]}, SimpleITK {seen[name][1]}")
nibabel.save(nibabel.Nifti1Image(values + 1, np.eye(4)), "scan.nii")
other = np.array_equal(nibabel.load("scan.Nii").dataobj, values + 1)
print("scan.Nii beside scan.nii: nibabel", "gives the values of the other" if other else "gives its own")
nibabel.save(image, "new.Nii")
print("saved as new.Nii:", sorted(name for name in os.listdir() if name.startswith("new")))
readers = {".mha": "MetaImageIO", ".gipl": "GiplImageIO", ".nrrd": "NrrdImageIO"}
capitals = {}
for ending, reader in readers.items():
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values.T), f"scan{ending}")
    os.rename(f"scan{ending}", name := f"scan{ending.upper()}")
    capitals[ending] = outcome(lambda: by_itk(name)), outcome(lambda: by_itk(name, reader))
    print(f"{name:14} SimpleITK {capitals[ending][0]}, told the reader {capitals[ending][1]}")
assert seen["packed.nii"] == ("ImageFileError", "RuntimeError"), "changed: packed"
assert seen["plain.nii.gz"] == ("ImageFileError", "right"), "changed: not packed"
assert seen["scan.Nii"] == ("FileNotFoundError", "RuntimeError") and other, "changed: capitals and small letters"
assert os.path.exists("new.nii") and not os.path.exists("new.Nii"), "changed: saving"
assert capitals[".mha"] == capitals[".gipl"] == ("RuntimeError", "right") and capitals[".nrrd"] == ("right", "right"), "changed: capitals"
PYTHON
