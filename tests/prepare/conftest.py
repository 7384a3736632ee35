"""Tiny downloads in the layouts of the public ones, and the command that prepares them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import tifffile
from skimage import io
from swin_umamba.commands import prepare as prepare_command
from swin_umamba.commands.one_line_parser import OneLineParser
from swin_umamba.common.exit_codes import execute
from swin_umamba.datasets import check_cases, open_raw_dataset

AMOS_NAMES = [
    "background",
    "spleen",
    "right kidney",
    "left kidney",
    "gall bladder",
    "esophagus",
    "liver",
    "stomach",
    "arota",
    "postcava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate/uterus",
]
SPACING = (1.2, 1.2, 3.0)


def write_image(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array)
    else:
        io.imsave(path, array, check_contrast=False)


def write_nifti(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*SPACING, 1.0]) if affine is None else affine), path)


def write_scan(folder, part, name, label_name, labels, rng):
    write_nifti(folder / f"images{part}" / name, rng.normal(size=labels.shape).astype(np.float32))
    write_nifti(folder / f"labels{part}" / label_name, labels.astype(np.float32))


@pytest.fixture
def amos(tmp_path):
    """AMOS22: MR and CT scans in training and validation set, MR scans without labels in the test set."""
    root, rng = tmp_path / "download" / "amos22", np.random.default_rng(0)
    for part, numbers in (("Tr", (1, 507, 600)), ("Va", (8, 540))):
        for number in numbers:
            labels = np.arange(6 * 5 * (number % 3 + 2)).reshape(6, 5, -1) % 16
            write_scan(root, part, f"amos_{number:04d}.nii.gz", f"amos_{number:04d}.nii.gz", labels, rng)
    write_nifti(root / "imagesTs" / "amos_0550.nii.gz", rng.normal(size=(6, 5, 2)).astype(np.float32))
    (root / "dataset.json").write_text(json.dumps({"labels": {str(i): n for i, n in enumerate(AMOS_NAMES)}}))
    (root / "__MACOSX").mkdir()
    return tmp_path / "download"


@pytest.fixture
def endovis(tmp_path):
    """EndoVis 2017: two training videos of 3 frames, two test videos of 2 frames, their ground truth apart."""
    root, rng = tmp_path / "download", np.random.default_rng(0)
    kinds = {
        1: ["Left_Prograsp_Forceps_labels", "Maryland_Bipolar_Forceps_labels", "Other_labels"],
        5: ["Large_Needle_Driver_Right_labels", "Right_Vessel_Sealer"],
    }
    for number, folders in kinds.items():
        video = root / f"instrument_{number}_training" / f"instrument_dataset_{number}"
        for frame in range(3):
            name = f"frame{frame:03d}.png"
            write_image(video / "left_frames" / name, rng.integers(0, 256, (12, 21, 3)).astype(np.uint8))
            write_image(video / "right_frames" / name, np.zeros((12, 21, 3), dtype=np.uint8))
            for row, folder in enumerate(folders):
                mask = np.zeros((12, 21), dtype=np.uint8)
                mask[3 * row : 3 * row + 4, frame : frame + 9] = 10 * (frame + 1)
                # One video stores its masks in colour.
                write_image(video / "ground_truth" / folder / name, np.dstack([mask] * 3) if number == 5 else mask)
        (video / "camera_calibration.txt").touch()
    for number in (1, 9):
        frames = root / "instrument_testing" / f"instrument_dataset_{number}" / "left_frames"
        gt = root / "instrument_2017_test" / "instrument_2017_test" / f"instrument_dataset_{number}" / "gt"
        for frame in (225, 226):
            write_image(frames / f"frame{frame}.png", rng.integers(0, 256, (12, 21, 3)).astype(np.uint8))
            write_image(gt / "TypeSegmentation" / f"frame{frame}.png", rng.integers(0, 8, (12, 21)).astype(np.uint8))
            write_image(gt / "BinarySegmentation" / f"frame{frame}.png", np.full((12, 21), 255, dtype=np.uint8))
    return root


def cells(shape, step, size):
    instances = np.zeros(shape, dtype=np.uint16)
    for number, (y, x) in enumerate(np.ndindex(*(n // step for n in shape)), start=1):
        instances[y * step : y * step + size, x * step : x * step + size] = number
    return instances


@pytest.fixture
def cellseg(tmp_path):
    """NeurIPS CellSeg: grey, colour, 16-bit and RGBA images of several formats."""
    root, rng = tmp_path / "download", np.random.default_rng(0)
    images = {
        "Training-labeled": {
            "cell_00001.png": rng.integers(0, 256, (80, 100, 3)).astype(np.uint8),
            "cell_00002.bmp": rng.integers(0, 256, (80, 100)).astype(np.uint8),
            "cell_00003.tif": rng.integers(0, 60000, (80, 100)).astype(np.uint16),
        },
        "Tuning": {"cell_00001.tiff": rng.integers(0, 256, (80, 100, 4)).astype(np.uint8)},
    }
    for part, files in images.items():
        for name, image in files.items():
            write_image(root / part / "images" / name, image)
            write_image(root / part / "labels" / f"{name.split('.')[0]}_label.tiff", cells((80, 100), 20, 18))
    return root


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(*args):
    parser = OneLineParser(prog="prepare")
    prepare_command.add_arguments(parser)
    return execute(prepare_command.run, parser.parse_args([str(arg) for arg in args]), parser.prog)


@pytest.fixture
def tools(capsys):
    """Functions that the tests of all data sets share."""

    def prepared(dataset, source, destination, *options):
        """Prepare, want success and an untouched source, let nnU-Net's reader check the result; return the table."""
        before = contents(source)
        assert run(dataset, source, destination, *options) == 0
        assert contents(source) == before
        (folder,) = destination.iterdir()
        assert not list(folder.rglob("*.partial"))
        dataset = open_raw_dataset(folder)
        check_cases(dataset, [*dataset.training, *dataset.held_out])
        return " ".join(capsys.readouterr().out.split())

    def refused(*args):
        """Run the command, want exit code 2 and one line on stderr; return it."""
        capsys.readouterr()
        assert run(*args) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    def copied(folder):
        """Return the prepared files without the two that the preparation itself writes."""
        files = contents(folder)
        assert {"dataset.json", "preparation.json"} <= set(files)
        return {name: content for name, content in files.items() if "/" in name}

    return SimpleNamespace(
        copied=copied,
        prepared=prepared,
        refused=refused,
        run=run,
        contents=contents,
        write_image=write_image,
        write_nifti=write_nifti,
    )
