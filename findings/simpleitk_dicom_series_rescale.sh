#!/usr/bin/env bash
# SimpleITK 2.5.7: reading a DICOM series whose slices have different RescaleSlope (the rule for PET, common for MR of one
# maker) applies the slope and intercept of the first slice to all of them. Each slice read alone is right, as are
# pydicom's values, and no warning is given: intensities are wrong by the ratio of the slopes, here by a factor of 4.
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

SLOPES = (1, 2, 4)
study, series, frame = generate_uid(), generate_uid(), generate_uid()
for number, slope in enumerate(SLOPES):
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
    image.RescaleSlope, image.RescaleIntercept = slope, 0
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
print("stored 100, slopes", SLOPES, "- as a series:", whole, "each alone:", alone, "pydicom:", pydicoms)
assert alone == pydicoms == [100 * slope for slope in SLOPES]
assert whole == [100, 100, 100], "changed: the series has the slope of each slice"
PYTHON
