#!/usr/bin/env bash
# SimpleITK 2.5.7: a DICOM series is read into the pixel type that the first slice needs after its rescale. A later slice with
# another RescaleSlope or RescaleIntercept, as PET and many MR series have, is forced into it without a warning: fractions are
# cut, negative values and values beyond the range wrap around. Each slice read alone is right, as are pydicom's values.
#
# Seen, stored 100 everywhere, first slice unsigned 16-bit: -900 read as 64636, 70000 as 4464, 3.5 as 3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid

RESCALES = ((1, 0), (1, -1000), (700, 0), (0.035, 0))  # slope, intercept
study, series, frame = generate_uid(), generate_uid(), generate_uid()
for number, (slope, intercept) in enumerate(RESCALES):
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = PositronEmissionTomographyImageStorage, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
    image.PatientID = image.PatientName = image.StudyDate = image.StudyTime = ""
    image.Modality, image.InstanceNumber = "PT", number + 1
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 3 * number], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [2, 2], 3
    image.Rows = image.Columns = 4
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.RescaleSlope, image.RescaleIntercept = slope, intercept
    image.PixelData = np.full((4, 4), 100, np.uint16).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(f"slice{number}.dcm", enforce_file_format=True)

names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(".")
whole = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(names))[:, 0, 0].tolist()
alone = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(name)).flat[0].item() for name in names]
read = [pydicom.dcmread(name) for name in names]
pydicoms = [float(pydicom.pixels.apply_rescale(image.pixel_array, image)[0, 0]) for image in read]
print("SimpleITK", SimpleITK.Version.VersionString(), "pydicom", pydicom.__version__)
print("as a series:", whole, "each alone:", alone, "pydicom:", pydicoms)
np.testing.assert_allclose(alone, [100 * slope + intercept for slope, intercept in RESCALES])
np.testing.assert_allclose(pydicoms, alone)
assert whole == [100, 64636, 4464, 3], "changed: other values of the series"
PYTHON
