#!/usr/bin/env bash
# monai 1.6.1 and DICOM segmentations that highdicom 0.28.2 writes with its defaults (empty frames left out): PydicomReader puts the
# frames of each segment one after the other from the first stored position on. Segments of equally many frames at different
# positions so lie upon one another, at places where neither or only one is, without a warning. With one segment alone it refuses
# the file (highdicom keeps the segment's number in the shared groups). With omit_empty_frames=False and two segments it is right.
#
# Seen, planes 2 mm apart, segment 1 at 2 and 4 mm, segment 2 at 6 and 8: both at 4 and 6 mm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import highdicom
import monai
import numpy as np
from highdicom.seg import SegmentDescription, Segmentation
from monai.data import PydicomReader
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

warnings.simplefilter("ignore")
study, series, frame = generate_uid(), generate_uid(), generate_uid()
source = []
for number in range(6):
    image = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                    "AccessionNumber", "PositionReferenceIndicator", "ReferringPhysicianName", "Manufacturer"):
        setattr(image, keyword, "")
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
    image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, number + 1
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 2.0 * number], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness, image.Rows, image.Columns = [1, 1], 2, 16, 16
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.RescaleSlope, image.RescaleIntercept = 1, 0
    image.PixelData = np.zeros((16, 16), np.int16).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.append(image)


def read_back(labels, **options):
    """Positions in mm at which MONAI finds each segment."""
    segments = [SegmentDescription(number, f"structure {number}", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
                for number in range(1, labels.max() + 1)]
    Segmentation(source, labels, "BINARY", segments, generate_uid(), 2, generate_uid(), 1, "maker", "model", "1", "1",
                 **options).save_as("segmentation.dcm")
    reader = PydicomReader()
    array, meta = reader.get_data(reader.read("segmentation.dcm"))
    array = array.reshape(*array.shape[:3], -1)
    return {number + 1: sorted(float((meta["affine"] @ [0, 0, plane, 1])[2]) for plane in range(array.shape[2])
                               if array[:, :, plane, number].any()) for number in range(array.shape[3])}


labels = np.zeros((6, 16, 16), np.uint8)
labels[1:3, 2:6, 2:6], labels[3:5, 0:4, 0:4] = 1, 2
print("monai", monai.__version__, "highdicom", highdicom.__version__)
default, all_frames = read_back(labels), read_back(labels, omit_empty_frames=False)
print("segments at mm: written", {1: [2, 4], 2: [6, 8]}, "read by default", default, "with all frames", all_frames)
try:
    read_back(labels * (labels == 1))
    refusal = "read"
except NotImplementedError as error:
    refusal = str(error)
print("one segment alone:", refusal)
assert all_frames == {1: [2, 4], 2: [6, 8]}
assert default == {1: [4, 6], 2: [4, 6]}, "changed: places of the segments"
assert "SegmentIdentificationSequence" in refusal, "changed: a single segment is read"
PYTHON
