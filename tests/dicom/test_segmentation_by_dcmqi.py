"""DICOM-SEG read back by dcmqi, which shares no code with what wrote it: each label lies on its source's instance."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from swin_umamba.common.images.dicom.series import find_series, read_series
from swin_umamba.datasets.segment_codes import Code, SegmentCodes
from swin_umamba.prediction.dicom_seg import segments_of, write_dicom_seg

from .files import TURNED, make_enhanced, make_stack, random_values, save

pytestmark = pytest.mark.skipif(importlib.util.find_spec("dcmqi") is None, reason="dcmqi is not installed")

LABELS = {"background": 0, "liver": 1, "spleen": 2, "lesion": 3}
SHAPE = (4, 24, 28)


def _tool() -> Path:
    import dcmqi

    return Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"


def _read_back(path: Path, folder: Path) -> tuple[list[SimpleITK.Image], dict]:
    """Images of numbers of segments, one for each segment or one for all, and what stands beside them."""
    folder.mkdir()
    command = [str(_tool()), "--inputDICOM", str(path), "--outputDirectory", str(folder), "-t", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    meta = json.loads((folder / "meta.json").read_text())
    return [SimpleITK.ReadImage(str(file)) for file in sorted(folder.glob("*.nrrd"))], meta


def _want_labels_at(images: list[SimpleITK.Image], labels: np.ndarray, planes: list[tuple]) -> None:
    """Each pixel of each plane (position, orientation, spacing by rows and columns) has its label and no other."""
    for plane, (position, orientation, spacing) in zip(labels, planes, strict=True):
        rows, columns = np.array(orientation[:3]) * spacing[1], np.array(orientation[3:]) * spacing[0]
        for y, x in np.ndindex(plane.shape):
            point = np.array(position) + x * rows + y * columns
            held = set()
            for image in images:
                index = image.TransformPhysicalPointToIndex(point.tolist())
                if all(0 <= i < size for i, size in zip(index, image.GetSize(), strict=True)):
                    held.add(image[index])
            assert held - {0} == {plane[y, x]} - {0}


def _labels() -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.int64)
    for z in range(len(labels)):
        labels[z, 2 + z : 9, 3:9] = 1
        labels[z, 12:20, 5 : 8 + z] = 3
    labels[2, 0, 0] = 2
    return labels


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), TURNED])
def test_labels_lie_on_their_instances(tmp_path, kind, orientation):
    labels = _labels()
    paths = save(tmp_path / "in", make_stack(random_values(), orientation), seed=3)
    (series,), _ = find_series(tmp_path / "in")
    read = read_series(series)
    write_dicom_seg(tmp_path / "seg.dcm", labels, read.files, read.frames, segments_of(LABELS), kind)
    images, meta = _read_back(tmp_path / "seg.dcm", tmp_path / "back")
    headers = [pydicom.dcmread(path) for path in paths]
    planes = [(ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing) for ds in headers]
    _want_labels_at(images, labels, planes)
    names = {one["labelID"]: one["SegmentLabel"] for group in meta["segmentAttributes"] for one in group}
    assert names == {1: "liver", 2: "spleen", 3: "lesion"}


def test_codes_are_what_dcmqi_reads(tmp_path):
    codes = {"lesion": SegmentCodes(Code("SCT", "4147007", "Mass"), Code("SCT", "49755003", "Altered"))}
    save(tmp_path / "in", make_stack(random_values()))
    (series,), _ = find_series(tmp_path / "in")
    read = read_series(series)
    write_dicom_seg(tmp_path / "seg.dcm", _labels(), read.files, read.frames, segments_of(LABELS, codes))
    _, meta = _read_back(tmp_path / "seg.dcm", tmp_path / "back")
    found = {one["SegmentLabel"]: one for group in meta["segmentAttributes"] for one in group}
    assert found["lesion"]["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == "4147007"
    assert found["lesion"]["SegmentedPropertyCategoryCodeSequence"]["CodeMeaning"] == "Altered"
    assert found["liver"]["SegmentedPropertyTypeCodeSequence"]["CodeMeaning"] == "Tissue"


def test_labels_lie_on_the_frames_of_an_enhanced_object(tmp_path):
    labels = _labels()
    save(tmp_path / "in", [make_enhanced(random_values(), [2, 0, 3, 1], [(1.0, 0.0)] * 4)])
    (series,), _ = find_series(tmp_path / "in")
    read = read_series(series)
    write_dicom_seg(tmp_path / "seg.dcm", labels, read.files, read.frames, segments_of(LABELS))
    images, _ = _read_back(tmp_path / "seg.dcm", tmp_path / "back")
    planes = [((0.0, 0.0, 3.0 * z), (1, 0, 0, 0, 1, 0), (0.5, 0.5)) for z in range(4)]
    _want_labels_at(images, labels, planes)
