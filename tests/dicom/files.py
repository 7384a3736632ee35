"""Made DICOM files: slices of series, multi-frame objects, single images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
US = "1.2.840.10008.5.1.4.1.1.6.1"
SECRET = "Secret^Name"

TURNED = tuple(np.round(np.array([[0.8, 0.6, 0.0], [-0.36, 0.48, 0.8]]), 12).ravel())
"""Directions of rows and columns of an oblique stack."""


def make_object(pixels: np.ndarray, sop_class: str, modality: str, **elements: object) -> FileDataset:
    """An object with pixels (H, W), (F, H, W) or (H, W, 3), and with elements of its own."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = SECRET, "4711", "", ""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, 7, 1
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        ds.PlanarConfiguration = 0
    flat = pixels if colour or pixels.ndim == 2 else pixels[0]
    ds.Rows, ds.Columns = flat.shape[:2]
    if pixels.ndim == 3 and not colour:
        ds.NumberOfFrames = len(pixels)
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds


def make_stack(
    values: np.ndarray,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float, float] = (0.7, 0.9, 2.5),
    origin: tuple[float, float, float] = (-20.0, 30.0, 40.0),
    **elements: object,
) -> list[FileDataset]:
    """The slices (Z, H, W) of a series, in the order along their normal; ``spacing`` is along x, y and z."""
    normal = np.cross(orientation[:3], orientation[3:])
    shared = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    shared["FrameOfReferenceUID"] = generate_uid()
    slices = []
    for z, pixels in enumerate(values):
        place = np.array(origin) + z * spacing[2] * normal
        slices.append(
            make_object(
                pixels,
                CT,
                "CT",
                **shared,
                ImageOrientationPatient=list(map(float, orientation)),
                ImagePositionPatient=[float(np.round(x, 6)) for x in place],
                PixelSpacing=[spacing[1], spacing[0]],
                SliceThickness=spacing[2],
                InstanceNumber=len(values) - z,
                PositionReferenceIndicator="",
                **elements,
            )
        )
    return slices


def make_enhanced(
    values: np.ndarray, order: list[int], rescales: list[tuple[float, float]], step: float = 3.0
) -> FileDataset:
    """A multi-frame object whose frames are the slices in some order, each with its own rescale."""
    ds = make_object(
        values[order], ENHANCED_CT, "CT", FrameOfReferenceUID=generate_uid(), PositionReferenceIndicator=""
    )
    measures, turn = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.5], step
    turn.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([turn])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for z in order:
        place, transformation, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0.0, 0.0, step * z]
        transformation.RescaleSlope, transformation.RescaleIntercept = rescales[z]
        transformation.RescaleType = "US"
        frame.PlanePositionSequence = Sequence([place])
        frame.PixelValueTransformationSequence = Sequence([transformation])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return ds


def save(folder: Path, objects: list[FileDataset], seed: int = 0, ending: str = ".dcm") -> list[Path]:
    """Write objects under names in another order than their own; return the paths in the order of the objects."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(seed).permutation(len(objects))
    paths = [folder / f"f{seed}{name:03d}{ending}" for name in names]
    for path, ds in zip(paths, objects, strict=True):
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return paths


def random_values(n: int = 4, shape: tuple[int, int] = (24, 28), dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 200, (n, *shape)).astype(dtype)
