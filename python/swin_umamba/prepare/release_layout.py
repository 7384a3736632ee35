"""U-Mamba's release of the three data sets, which has nnU-Net's raw layout already."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..common.errors import UserError, last_line
from ..common.images.reading import image_size, open_nifti, read_array, read_nifti_labels
from ..common.typed_json import load_json, shown
from ..paper.data_sets import INSTANCES, DatasetDefinition
from .layout import NameForm, find_folder, list_files, pair_by_name
from .preparation import OutputFile, Preparation, copy_of


def find_release(source: Path, definition: DatasetDefinition) -> Path | None:
    """Return the folder of the release: ``imagesTr`` with files ``CASE_0000.ending``, and ``labelsTr``."""

    def is_release(folder: Path) -> bool:
        images = folder / "imagesTr"
        return (
            images.is_dir()
            and (folder / "labelsTr").is_dir()
            and any(path.name.endswith(f"_0000{definition.file_ending}") for path in images.iterdir())
        )

    named = find_folder(source, lambda f: f.name == definition.name and is_release(f), 2, definition.name)
    return named or find_folder(source, is_release, 1, "a folder with imagesTr and labelsTr")


def _check_labels_json(path: Path, definition: DatasetDefinition) -> None:
    if not path.is_file():
        return
    try:
        labels = load_json(path)["labels"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read as nnU-Net's dataset.json: {last_line(error)}") from error
    wanted = {"background": 0, **definition.labels}
    if labels != wanted:
        found = labels if isinstance(labels, dict) else {}
        name = next((name for name in [*wanted, *found] if found.get(name, "none") != wanted.get(name, "none")), "")
        raise UserError(
            f"{path} names other labels than {definition.name} has: {shown(name)} is {shown(found.get(name, 'none'))}, "
            f"wanted is {wanted.get(name, 'none')}"
        )


def _grid(path: Path, definition: DatasetDefinition) -> tuple[int, ...]:
    return open_nifti(path).shape if definition.file_ending == ".nii.gz" else image_size(path)[0]


def _checked_copy(target: str, label: Path, definition: DatasetDefinition) -> OutputFile:
    largest = max(definition.labels.values())

    def make() -> bytes:
        if definition.file_ending == ".nii.gz":
            read_nifti_labels(label, largest)
        else:
            labels = read_array(label, labels=True)
            if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer) or labels.max() > largest:
                raise UserError(
                    f"{label} is no label image of {definition.name}: shape {labels.shape}, largest value "
                    f"{labels.max()}; wanted is one channel with labels from 0 to {largest}"
                )
        return label.read_bytes()

    return OutputFile(target, (label,), make)


def plan_release(folder: Path, definition: DatasetDefinition) -> Preparation:
    """Plan the copy of a released data set, after its names, sizes and labels' names were checked.

    Raises
    ------
    UserError
        A file is missing, has no partner or another size, or ``dataset.json`` names other labels.
    """
    _check_labels_json(folder / "dataset.json", definition)
    ending = definition.file_ending
    forms = (
        NameForm(rf"(.+)_0000{re.escape(ending)}", f"CASE_0000{ending}"),
        NameForm(rf"(.+){re.escape(ending)}", f"CASE{ending}"),
    )
    files, counts, notes = [], {}, []
    unit = "scans" if ending == ".nii.gz" else "images"
    # The cells' test set is the challenge's tuning set, which some copies of the release call validation set.
    test = "Val" if (folder / "imagesVal").is_dir() else "Ts"
    if test == "Val" and (folder / "imagesTs").is_dir():
        notes.append("imagesVal is taken as the test set, imagesTs is left out")
    for source_part, part, kind in (("Tr", "Tr", "training"), (test, "Ts", "test")):
        image_folder, label_folder = folder / f"images{source_part}", folder / f"labels{source_part}"
        has_images, has_labels = image_folder.is_dir(), label_folder.is_dir()
        if not has_images:
            notes.append(f"there is no {image_folder.name}")
            counts[f"{kind} {unit}"] = 0
            continue
        images = list_files(image_folder, [ending])
        if has_labels:
            pairs = pair_by_name(images, list_files(label_folder, [ending]), *forms)
            for case, image, label in pairs:
                if _grid(image, definition)[:3] != _grid(label, definition)[:3]:
                    raise UserError(
                        f"{image} has size {_grid(image, definition)}, its label {label} {_grid(label, definition)}"
                    )
                files.append(_checked_copy(f"labels{part}/{case}{ending}", label, definition))
        else:
            for image in images:
                forms[0].case_of(image)
            notes.append(f"{image_folder.name} has no {label_folder.name}")
        files += [copy_of(f"images{part}/{image.name}", image) for image in images]
        counts[f"{kind} {unit}"] = len(images)
        if ending == ".nii.gz":
            counts[f"{kind} slices"] = sum(open_nifti(image).shape[2] for image in images)
    if (folder / INSTANCES).is_dir():
        masks = list_files(folder / INSTANCES, [".tif", ".tiff", ".png"])
        files += [copy_of(f"{INSTANCES}/{mask.name}", mask) for mask in masks]
    return Preparation(definition, "U-Mamba's release (nnU-Net raw)", files, counts, notes)
