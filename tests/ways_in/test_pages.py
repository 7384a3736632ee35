"""The commands of docs/ways-in are run as they stand, with small files and short trainings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from swin_umamba.commands import cli

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "ways-in"
PAGES = sorted(FOLDER.glob("*.md"))
BLOCKS = re.compile(r"^```(bash|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def make_pictures(folder: Path) -> None:
    """Discs with a rim of another shade, and their masks, of four patients."""
    rows, columns = np.mgrid[:64, :72]
    for kind in ("pictures", "masks"):
        (folder / kind).mkdir()
    for number in range(12):
        rng = np.random.default_rng(number)
        distance = np.hypot(rows - rng.integers(20, 44), columns - rng.integers(20, 50))
        mask = np.select([distance < 9, distance < 15], [255, 128], 0).astype(np.uint8)
        image = np.clip(60 + 0.4 * mask + rng.normal(0, 9, mask.shape), 0, 255).astype(np.uint8)
        name = f"p{number // 3}_{number % 3}"
        Image.fromarray(image).save(folder / "pictures" / f"{name}.{'jpg' if number % 2 else 'png'}")
        Image.fromarray(mask).save(folder / "masks" / f"{name}_mask.png")


def make_pictures_of_two_kinds(folder: Path) -> None:
    """The same, and once more in folders whose names of files suggest no patients."""
    make_pictures(folder)
    for source, kind, end in (("pictures", "scans", ""), ("masks", "outlines", "_mask")):
        (folder / kind).mkdir()
        for number, letter in enumerate("abcdefghijkl"):
            (path,) = (folder / source).glob(f"p{number // 3}_{number % 3}{end}.*")
            (folder / kind / f"{letter}{path.suffix}").write_bytes(path.read_bytes())


def make_scans(folder: Path) -> None:
    """Series of slices with a disc, and their masks."""
    from ..dicom.files import make_stack, save

    rows, columns = np.mgrid[:48, :56]
    (folder / "masks").mkdir()
    for number in range(6):
        rng = np.random.default_rng(number)
        inside = np.stack([np.hypot(rows - 20 - number, columns - 24 - z) < 12 for z in range(4)])
        values = np.round(100 * inside + rng.normal(40, 9, inside.shape)).astype(np.int16)
        # Along the axes, from (-20, 30, 40): to the right and to the front in NIfTI's directions.
        save(folder / "scans" / f"p{number}", make_stack(values, RescaleSlope=1, RescaleIntercept=-1000), seed=number)
        affine = np.diag([-0.7, -0.9, 2.5, 1.0])
        affine[:3, 3] = 20, -30, 40
        mask = nibabel.Nifti1Image(inside.astype(np.uint8).T, affine)
        nibabel.save(mask, folder / "masks" / f"p{number}_seg.nii.gz")


def make_predictions(folder: Path) -> None:
    """Label images of two labels, and one without any."""
    (folder / "predictions").mkdir()
    for name, highest in (("a", 2), ("b", 0)):
        labels = np.minimum(np.arange(48, dtype=np.uint8).reshape(6, 8) // 16, highest)
        Image.fromarray(labels).save(folder / "predictions" / f"{name}.png")


def make_raw_discs(folder: Path) -> None:
    """The data set that the page of folders makes."""
    make_pictures(folder)
    command = ["prepare", "folder", *(str(folder / name) for name in ("pictures", "masks"))]
    assert cli.main([*command, str(folder / "nnUNet_raw" / "Dataset501_Discs")]) == 0


def make_tasks(folder: Path) -> None:
    """One data set in the layouts of the Decathlon and of nnU-Net 1, which share it but for the files' names."""
    rows, columns = np.mgrid[:40, :44]
    for task, channel in (("Task04_Discs", ""), ("Task505_Discs", "_0000")):
        for name in ("imagesTr", "labelsTr", "imagesTs"):
            (folder / task / name).mkdir(parents=True)
        for number in range(6):
            inside = np.stack([np.hypot(rows - 18 - number, columns - 20 - z) < 10 for z in range(3)], axis=2)
            image = np.random.default_rng(number).normal(100 * inside, 9).astype(np.float32)
            for array, name in (
                (image, f"imagesTr/disc_{number}{channel}"),
                (inside.astype(np.uint8), f"labelsTr/disc_{number}"),
            ):
                nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 1, 3, 1])), folder / task / f"{name}.nii.gz")
        files = [{"image": f"./imagesTr/disc_{n}.nii.gz", "label": f"./labelsTr/disc_{n}.nii.gz"} for n in range(6)]
        description = {
            "name": "Discs",
            "tensorImageSize": "3D",
            "modality": {"0": "MRI"},
            "labels": {"0": "background", "1": "disc"},
            "numTraining": 6,
            "numTest": 0,
            "training": files,
            "test": [],
        }
        (folder / task / "dataset.json").write_text(json.dumps(description))


MAKE: dict[str, Callable[[Path], object]] = {
    "dicom.md": make_scans,
    "folders.md": make_pictures_of_two_kinds,
    "machines.md": make_pictures,
    "monai.md": lambda folder: None,
    "nnunet-data.md": make_tasks,
    "slurm.md": make_raw_discs,
    "viewers.md": make_predictions,
}
NEEDS = {"dicom.md": "highdicom"}

# In every process of Python that a page starts.
NO_NETWORK = """\
import os, sys

def refuse(event, arguments):
    inside = event == "socket.connect" and isinstance(arguments[1], (str, bytes))  # between processes, by a file
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname") and not inside:
        with open(os.environ["REFUSED"], "a") as file:
            file.write(f"{event} {arguments}\\n")
        raise OSError("there is no network")

sys.addaudithook(refuse)
"""


def shortened(block: str, epochs: int = 1) -> str:
    """The same commands with a training of a few steps."""
    for option, short in {"epochs": epochs, "iterations": 2, "batch-size": 2}.items():
        block = re.sub(rf"--{option} \d+", f"--{option} {short}", block)
    return block


def run_blocks(page: Path, folder: Path) -> list[str]:
    """Run the blocks of a page one after the other in a folder, without a network, and return their output."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(NO_NETWORK)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment.update(PYTHONPATH=str(folder / "site"), REFUSED=str(folder / "refused"))
    outputs = []
    for language, block in BLOCKS.findall(page.read_text(encoding="utf-8")):
        block = shortened(block)
        command = ["bash", "-euo", "pipefail", "-c", block] if language == "bash" else [sys.executable, "-c", block]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **streams)
        assert done.returncode == 0, f"{page.name}:\n{block}\n{done.stdout}"
        outputs.append(done.stdout)
    refused = folder / "refused"
    assert not refused.exists(), refused.read_text()
    return outputs


def test_a_connection_is_refused_and_seen(tmp_path):
    page = tmp_path / "page.md"
    tries = "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 9))\nexcept OSError:\n    pass\n"
    page.write_text(f"```python\n{tries}```\n")
    with pytest.raises(AssertionError, match=r"socket\.getaddrinfo .*192\.0\.2\.1"):
        run_blocks(page, tmp_path)


def _by_time(page: Path) -> object:
    return pytest.param(page, id=page.name, marks=() if page.name in ("monai.md", "viewers.md") else pytest.mark.slow)


@pytest.mark.parametrize("page", [_by_time(page) for page in PAGES if page.name in MAKE])
def test_commands_run(page, tmp_path):
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name])
    MAKE[page.name](tmp_path)
    outputs = run_blocks(page, tmp_path)
    # What is shown as output is that of one of the blocks; installations are run by others.
    for shown in re.findall(r"^```text\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        if shown.startswith("pip install"):
            continue
        assert any(shown in output for output in outputs), f"{page.name} shows {shown}"


def test_label_images_are_made_visible(tmp_path):
    make_predictions(tmp_path)
    (said,) = run_blocks(FOLDER / "viewers.md", tmp_path)
    assert said == "a.png has the labels [0, 1, 2]\nb.png has the labels [0]\n"
    assert np.unique(np.array(Image.open(tmp_path / "visible" / "a.png"))).tolist() == [0, 127, 255]
    assert not np.array(Image.open(tmp_path / "visible" / "b.png")).any()


def test_every_page_with_commands_is_run_and_listed():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.name != "README.md":
            assert f"]({page.name})" in index
            assert page.name in MAKE or not BLOCKS.search(page.read_text(encoding="utf-8"))


def test_the_page_of_folders_has_every_option(capsys):
    with pytest.raises(SystemExit):
        cli.main(["prepare", "folder", "--help"])
    shown = set(re.findall(r"--[a-z-]+", capsys.readouterr().out.partition("options:")[2]))
    options = shown - {"--help", "--version", "--json"}
    page = (FOLDER / "folders.md").read_text(encoding="utf-8")
    assert len(options) == 9
    assert sorted(option for option in options if f"`{option}" not in page) == []
