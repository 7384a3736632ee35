#!/usr/bin/env bash
# A DICOM image whose PhotometricInterpretation is MONOCHROME1 (low values are bright, as many X-rays are stored) has two sets of values:
# SimpleITK 2.5.7 inverts it when it reads, over the range of the stored bits, and then rescales; pydicom 3.0.2 gives the
# stored values, and says nothing. In MONAI 1.6.1 the choice of the reader decides: bone is bright by ITKReader and dark by
# PydicomReader. A network that was trained on the one and meets the other sees negatives.
#
# Seen, 12 bits, stored 0, 1000, 4000: SimpleITK and ITKReader 4095, 3095, 95; pydicom and PydicomReader 0, 1000, 4000.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydicom==3.0.2 SimpleITK==2.5.7 torch==2.13.0 monai==1.6.1 itk==5.4.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import monai
import numpy as np
import pydicom
import SimpleITK
from monai.data import ITKReader, PydicomReader
from monai.transforms import LoadImage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

stored = np.repeat([0, 1000, 4000], 8).astype(np.uint16)


def write(photometric):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID = ds.PatientName = "none"
    ds.Modality, ds.InstanceNumber = "DX", 1
    ds.Rows, ds.Columns, ds.ImagerPixelSpacing = 24, 24, [0.2, 0.2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelIntensityRelationshipSign = 1, photometric, 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = stored[:, None].repeat(24, 1).tobytes()
    ds.save_as("x.dcm", enforce_file_format=True)


def read():
    arrays = {"SimpleITK": SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("x.dcm"))[0], "pydicom": pydicom.dcmread("x.dcm").pixel_array}
    for kind in (ITKReader, PydicomReader):
        # MONAI counts columns first.
        arrays[kind.__name__] = np.asarray(LoadImage(reader=kind(), image_only=True)("x.dcm")).squeeze().T
    return {name: array[::8, 0].astype(int).tolist() for name, array in arrays.items()}


print("SimpleITK", SimpleITK.Version.VersionString(), "pydicom", pydicom.__version__, "monai", monai.__version__)
as_it_is, inverted = [0, 1000, 4000], [4095, 3095, 95]
for photometric in ("MONOCHROME2", "MONOCHROME1"):
    write(photometric)
    for name, values in read().items():
        print(f"{photometric}, stored {as_it_is}, {name}: {values}")
        inverts = photometric == "MONOCHROME1" and name in ("SimpleITK", "ITKReader")
        assert values == (inverted if inverts else as_it_is), f"changed: {name}"
PYTHON
