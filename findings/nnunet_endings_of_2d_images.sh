#!/usr/bin/env bash
# nnunetv2 2.8.1: whether a 2-D image can be read goes by the spelling of its ending. .nii.gz and .tif are read; the same image as
# .nii or .tiff is given to a reader for volumes alone, and with an example file at hand no reader is found at all, although
# SimpleITK's reader, which takes the .nii.gz, reads 2-D NIfTI.
#
# Seen: .nii "only 3d images are supported by NibabelIO", .tiff "Only 3D images are supported!", and with the file as example
# "Unable to determine a reader".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 nnunetv2==2.8.1 nibabel==5.4.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

import nibabel
import numpy as np
import tifffile
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_file_ending

image = np.arange(64 * 48).reshape(64, 48) % 251
for ending in (".nii", ".nii.gz"):
    nibabel.save(nibabel.Nifti1Image(image.astype(np.int16), np.eye(4)), f"image{ending}")
for ending in (".tif", ".tiff"):
    tifffile.imwrite(f"image{ending}", image.astype(np.uint8))


def read(ending, example):
    name = f"image{ending}"
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            reader = determine_reader_writer_from_file_ending(ending, name if example else None)
            return f"{reader.__name__} {reader().read_images([name])[0].shape}"
    except (AssertionError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


print("nnunetv2", version("nnunetv2"))
seen = {(ending, example): read(ending, example) for ending in (".nii.gz", ".nii", ".tif", ".tiff") for example in (False, True)}
for (ending, example), what in seen.items():
    print(f"{ending:8}{'with the file as example' if example else 'by its name':26}{what}")
for example in (False, True):
    assert seen[".nii.gz", example] == "SimpleITKIO (1, 1, 48, 64)" and seen[".tif", example] == "NaturalImage2DIO (1, 1, 64, 48)"
assert "only 3d images" in seen[".nii", False] and "Only 3D images" in seen[".tiff", False], "changed: read by the name"
assert all("Unable to determine a reader" in seen[ending, True] for ending in (".nii", ".tiff")), "changed: a reader is found"
PYTHON
