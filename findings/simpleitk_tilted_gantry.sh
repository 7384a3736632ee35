#!/usr/bin/env bash
# SimpleITK 2.5.7 puts the slices of a CT with a tilted gantry in the wrong place, without a warning. Such slices are evenly spaced
# along the table, but shifted against each other in their own plane. The series reader takes the distance right and the direction
# from the slices' normal, and leaves the shift out. MONAI 1.6.1 has the right place by PydicomReader and the wrong one by ITKReader;
# highdicom 0.28.2 refuses the series in words. The more slices, the more it matters: whatever is resampled, measured
# or laid upon another series is askew.
#
# Seen, 10 slices 5 mm apart, 20 degrees: the last slice's corner, at (0, 0, 45) mm, is at (0, 15.4, 42.3).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydicom==3.0.2 highdicom==0.28.2 SimpleITK==2.5.7 torch==2.13.0 monai==1.6.1 itk==5.4.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from pathlib import Path

import highdicom
import monai
import numpy as np
import pydicom
import SimpleITK
from monai.data import ITKReader, PydicomReader
from monai.transforms import LoadImage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

series, study, frame = (generate_uid() for _ in range(3))
Path("ct").mkdir()
for number in range(10):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
    ds.PatientID = ds.PatientName = "none"
    ds.Modality, ds.InstanceNumber, ds.GantryDetectorTilt = "CT", number + 1, 20
    ds.Rows = ds.Columns = 32
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 5
    ds.ImageOrientationPatient = [1, 0, 0, 0, 0.939693, -0.342020]
    ds.ImagePositionPatient = [0, 0, 5 * number]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.zeros((32, 32), np.uint16).tobytes()
    ds.save_as(f"ct/{number}.dcm", enforce_file_format=True)

reader = SimpleITK.ImageSeriesReader()
reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames("ct"))
corners = {"SimpleITK": np.array(reader.Execute().TransformIndexToPhysicalPoint((0, 0, 9)))}
for kind in (ITKReader, PydicomReader):
    affine = np.asarray(LoadImage(reader=kind(), image_only=True)("ct").affine)
    # MONAI counts x and y the other way.
    corners[kind.__name__] = (affine @ [0, 0, 9, 1])[:3] * (-1, -1, 1)
print("SimpleITK", SimpleITK.Version.VersionString(), "monai", monai.__version__, "pydicom", pydicom.__version__)
print("first corner of the last slice, at (0, 0, 45):", *(f"{name} {corner.round(1) + 0.0}" for name, corner in corners.items()))
for name, wanted in (("SimpleITK", (0, 15.39, 42.29)), ("ITKReader", (0, 15.39, 42.29)), ("PydicomReader", (0, 0, 45))):
    np.testing.assert_allclose(corners[name], wanted, atol=0.01, err_msg=f"changed: {name}")
try:
    highdicom.get_volume_from_series([pydicom.dcmread(path) for path in Path("ct").iterdir()])
except ValueError as error:
    print("highdicom", highdicom.__version__, "refuses:", error)
else:
    raise AssertionError("changed: highdicom takes it")
PYTHON
