"""Dataset702_AbdomenMR from AMOS22, or from U-Mamba's release."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..common.errors import UserError, last_line
from ..common.images.geometry import corner_distance
from ..common.images.reading import nifti_bytes, open_nifti, read_nifti_labels
from ..common.typed_json import load_json, shown
from ..paper.data_sets import ABDOMEN_MR
from .layout import NameForm, find_folder, list_files, pair_by_name, unknown_layout
from .preparation import OutputFile, Preparation, copy_of
from .release_layout import find_release, plan_release

EXPECTED = (
    "AMOS22 unpacked (imagesTr/amos_0507.nii.gz, labelsTr/amos_0507.nii.gz, imagesVa, labelsVa) or U-Mamba's "
    "release (imagesTr/amos_0507_0000.nii.gz, labelsTr/amos_0507.nii.gz, imagesTs, labelsTs)"
)

AMOS_NAME = NameForm(r"(amos_\d{4})\.nii\.gz", "amos_NNNN.nii.gz with four digits")

LAST_CT_ID = 500
"""AMOS numbers its CT scans up to here, its MR scans from above."""

AMOS_ORGANS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate/uterus",
)
"""Labels 1 to 15 of AMOS22."""

# Names as AMOS22's own dataset.json spells them.
SPELLINGS = {
    "gall bladder": "gallbladder",
    "arota": "aorta",
    "postcava": "inferior vena cava",
    "prostate or uterus": "prostate/uterus",
}


def paper_labels() -> np.ndarray:
    """Return the table from AMOS22's labels 0–15 to the paper's; bladder and prostate/uterus become background."""
    return np.array([0, *(ABDOMEN_MR.labels.get(organ, 0) for organ in AMOS_ORGANS)], dtype=np.uint8)


def _check_amos_json(path: Path) -> None:
    if not path.is_file():
        return
    try:
        labels = {int(label): str(name).lower() for label, name in load_json(path)["labels"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as AMOS22's dataset.json: {last_line(error)}") from error
    for label, organ in enumerate(AMOS_ORGANS, start=1):
        found = labels.get(label)
        if found is None or SPELLINGS.get(found, found) != organ:
            raise UserError(f"{path} says that label {label} is {shown(found)}, but in AMOS22 it is {organ!r}")


def _mr_scans(folder: Path) -> list[Path]:
    files = list_files(folder, [".nii.gz"])
    return [path for path in files if int(AMOS_NAME.case_of(path).removeprefix("amos_")) > LAST_CT_ID]


def _is_amos(folder: Path) -> bool:
    return (
        (folder / "imagesTr").is_dir()
        and (folder / "labelsTr").is_dir()
        and any(re.fullmatch(AMOS_NAME.pattern, path.name) for path in (folder / "imagesTr").iterdir())
    )


def _mapped_label(case: str, image: Path, label: Path) -> OutputFile:
    def make() -> bytes:
        return nifti_bytes(paper_labels()[read_nifti_labels(label, len(AMOS_ORGANS))], open_nifti(image))

    return OutputFile(f"labelsTr/{case}.nii.gz", (image, label), make)


def _check_grids(image: Path, label: Path) -> int:
    """Return the number of slices; raise `UserError` unless image and label lie on one grid."""
    scan, drawn = open_nifti(image), open_nifti(label)
    if len(scan.shape) != 3 or scan.shape != drawn.shape:
        raise UserError(f"{image} has size {scan.shape}, its label {label} {drawn.shape}; wanted is one 3-D size")
    distance = corner_distance(scan.shape, scan.affine, drawn.affine)
    if distance > 0.5 * min(scan.header.get_zooms()):
        raise UserError(
            f"{image} and its label {label} lie up to {distance:.3g} mm apart; they must cover the same place"
        )
    return scan.shape[2]


def _plan_amos(root: Path) -> Preparation:
    _check_amos_json(root / "dataset.json")
    cases: dict[str, tuple[Path, Path]] = {}
    notes = []
    for part in ("Tr", "Va"):
        if part == "Va" and not (root / "imagesVa").is_dir():
            notes.append("imagesVa is missing, whose MR scans belong to the paper's training set")
            continue
        images, labels = (_mr_scans(root / f"{kind}{part}") for kind in ("images", "labels"))
        cases |= {case: (image, label) for case, image, label in pair_by_name(images, labels, AMOS_NAME, AMOS_NAME)}
    if not cases:
        raise UserError(f"{root} holds no MR scan: no labelled case is numbered above amos_{LAST_CT_ID:04d}")
    notes.append(
        "AMOS22 has no labels for the paper's 50 test scans, which U-Mamba's authors drew themselves; "
        "they are part of U-Mamba's release alone"
    )
    files: list[OutputFile] = []
    slices = 0
    for case, (image, label) in sorted(cases.items()):
        slices += _check_grids(image, label)
        files += [copy_of(f"imagesTr/{case}_0000.nii.gz", image), _mapped_label(case, image, label)]
    counts = {"training scans": len(cases), "training slices": slices, "test scans": 0, "test slices": 0}
    return Preparation(ABDOMEN_MR, "AMOS22", files, counts, notes)


def plan(source: Path) -> Preparation:
    """Plan Dataset702_AbdomenMR from a download.

    AMOS22: the MR scans of training and validation set become the training set, their labels change from AMOS22's
    order to the paper's. U-Mamba's release: checked and copied.

    Raises
    ------
    UserError
        The download has neither layout, or is not whole.
    """
    release = find_release(source, ABDOMEN_MR)
    amos = find_folder(source, _is_amos, 2, "AMOS22")
    if release and amos:
        raise UserError(f"{source} holds both AMOS22 ({amos}) and U-Mamba's release ({release}); name one as SRC")
    if release:
        return plan_release(release, ABDOMEN_MR)
    if amos:
        return _plan_amos(amos)
    raise unknown_layout(source, "AbdomenMR", EXPECTED)
