#!/usr/bin/env bash
# SimpleITK 2.5.7: an enhanced (multi-frame) DICOM object whose frames are not stored in even steps along their normal, because one is
# missing or they are in another order, is read with a spacing of (1, 1, 1): the pixel spacing is lost too. A rescale that differs
# from frame to frame is not applied. No error; highdicom 0.28.2 refuses the gap in words, sorts the frames and applies each rescale.
#
# Seen, pixels of 0.5 mm, 2 mm apart: spacing (0.5, 0.5, 2) of a regular object, (1, 1, 1) with a gap or with frames exchanged;
# stored 10 with slopes 1 to 4 read as 10 in all frames, where highdicom gives 10, 20, 30, 40.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SimpleITK==2.5.7 highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import highdicom
import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid


def item(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def write(path, positions, slopes):
    image = item(
        SOPClassUID=EnhancedCTImageStorage, SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(), FrameOfReferenceUID=generate_uid(), Modality="CT", InstanceNumber=1,
        PatientID="", PatientName="", StudyDate="", StudyTime="", Rows=16, Columns=16, NumberOfFrames=len(positions),
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16, HighBit=15,
        PixelRepresentation=0, PixelData=np.full((len(positions), 16, 16), 10, np.uint16).tobytes(),
    )
    image.SharedFunctionalGroupsSequence = [item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.5], SliceThickness=2)],
    )]
    image.PerFrameFunctionalGroupsSequence = [item(
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, position])],
        PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="HU")],
    ) for position, slope in zip(positions, slopes, strict=True)]
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)


OBJECTS = {"regular": ([0, 2, 4, 6], [1] * 4), "gap": ([0, 2, 4, 8], [1] * 4), "exchanged": ([6, 0, 4, 2], [1] * 4),
           "slopes": ([0, 2, 4, 6], [1, 2, 3, 4])}
spacing, values, theirs = {}, {}, {}
print("SimpleITK", SimpleITK.Version.VersionString(), "highdicom", highdicom.__version__)
for name, (positions, slopes) in OBJECTS.items():
    write(f"{name}.dcm", positions, slopes)
    image = SimpleITK.ReadImage(f"{name}.dcm")
    spacing[name], values[name] = image.GetSpacing(), SimpleITK.GetArrayFromImage(image)[:, 0, 0].tolist()
    try:
        volume = highdicom.imread(f"{name}.dcm").get_volume()
        theirs[name] = sorted(volume.array[:, 0, 0].tolist()), tuple(float(step) for step in volume.spacing)
    except (RuntimeError, ValueError) as error:
        theirs[name] = f"{type(error).__name__}: {error}"
    print(f"{name:10}SimpleITK {spacing[name]} {values[name]}; highdicom {theirs[name]}")
assert spacing["regular"] == spacing["slopes"] == (0.5, 0.5, 2)
assert spacing["gap"] == spacing["exchanged"] == (1, 1, 1), "changed: the spacing of uneven or unsorted frames"
assert values["slopes"] == [10] * 4, "changed: the rescale of each frame"
assert theirs["slopes"] == ([10, 20, 30, 40], (2, 0.5, 0.5)) and theirs["exchanged"][1] == (2, 0.5, 0.5)
assert isinstance(theirs["gap"], str)
PYTHON
