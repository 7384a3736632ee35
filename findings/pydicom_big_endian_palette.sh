#!/usr/bin/env bash
# pydicom 3.0.2: apply_color_lut reads the 16-bit tables of a palette as little endian whatever the file is, so that the colours of an
# Explicit VR Big Endian object, a syntax retired in 2006 that archives still hold, come out with their bytes exchanged, without a word.
# The pixels themselves, and segmented tables, are turned. SimpleITK 2.5.7 gives both files the same colours.
#
# Seen: a red of 0x1234, 4660, in big endian comes out as 0x3412, 13330.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydicom==3.0.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

TABLE = np.array([0, 0x1234, 0xFF00, 0x00FF])


def write(path, syntax):
    is_big = syntax == ExplicitVRBigEndian
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Rows = dataset.Columns = 2
    dataset.SamplesPerPixel, dataset.PixelRepresentation, dataset.PhotometricInterpretation = 1, 0, "PALETTE COLOR"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    for shift, colour in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
        table = np.roll(TABLE, shift).astype(">u2" if is_big else "<u2")
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table.tobytes())
    dataset.PixelData = bytes([1, 0, 3, 2]) if is_big else bytes([0, 1, 2, 3])
    dataset["PixelData"].VR = "OW"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


print("pydicom", pydicom.__version__, "SimpleITK", SimpleITK.Version.VersionString())
for syntax, wanted in ((ExplicitVRLittleEndian, TABLE), (ExplicitVRBigEndian, TABLE.astype(np.uint16).byteswap())):
    write("a.dcm", syntax)
    dataset = pydicom.dcmread("a.dcm")
    red = apply_color_lut(dataset.pixel_array, dataset)[..., 0].ravel()
    by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("a.dcm"))[..., 0].ravel()
    print(f"{syntax.name}: pixels {dataset.pixel_array.ravel()}, red by pydicom {red}, by SimpleITK {by_itk} (of 8 bits)")
    assert (dataset.pixel_array.ravel() == range(4)).all()
    assert (by_itk == TABLE >> 8).all()
    assert (red == wanted).all(), "changed: the tables are turned"
PYTHON
