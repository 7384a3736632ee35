"""nnU-Net raw data sets: their description, cases and folds; `case_checks` opens their files.

Layout: ``DatasetXXX_Name`` with ``dataset.json``, ``imagesTr``, ``labelsTr`` and optionally
``imagesTs`` with ``labelsTs`` (held-out cases) and ``splits_final.json``. An image is one file per
channel, ``CASE_0000.ending``, ``CASE_0001.ending`` ... or one RGB file; its label is ``CASE.ending``.
Nothing is ever written into the folder.
"""

from __future__ import annotations

import copy
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import Faults, UserError, last_line
from ..common.images.formats import image_ending, is_hidden
from ..common.typed_json import read_json, shown
from .description import read_description
from .digests import CaseDigest

FOLDS = 5

MAKER = "swin-umamba prepare folder IMAGES MASKS DST"
"""The command that errors name where files are not in nnU-Net's layout."""


@dataclass(frozen=True)
class Case:
    """One image with its reference label: ``images`` has one file per channel, or one RGB file."""

    identifier: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class RawDataset:
    """An nnU-Net raw data set whose files are all there.

    ``groups`` has the group of each case where the user has said it; see `swin_umamba.datasets.group_folds`.
    ``digests`` tell the content of the cases that have been read, see `check_cases`.
    """

    folder: Path
    description: dict[str, Any]
    training: tuple[Case, ...]
    held_out: tuple[Case, ...]
    splits: list[dict[str, list[str]]] | None
    groups: dict[str, str] | None = None
    digests: dict[Case, CaseDigest] | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def file_ending(self) -> str:
        return str(self.description["file_ending"])

    @property
    def n_channels(self) -> int:
        return len(self.description["channel_names"])

    @property
    def classes(self) -> dict[str, tuple[int, ...]]:
        """Label values of each foreground class or region, by name."""
        return {
            name: tuple(value) if isinstance(value, list) else (value,)
            for name, value in self.description["labels"].items()
            if name not in ("background", "ignore")
        }

    @property
    def n_outputs(self) -> int:
        """Channels of a network's output: classes with background, or regions."""
        from nnunetv2.utilities.label_handling.label_handling import LabelManager

        manager = LabelManager(self.description["labels"], self.description.get("regions_class_order"))
        return int(manager.num_segmentation_heads)

    @property
    def ignore_label(self) -> int | None:
        label: int | None = self.description["labels"].get("ignore")
        return label


def open_raw_dataset(folder: str | os.PathLike[str], faults: Faults | None = None) -> RawDataset:
    """Read the description of a raw data set and list its cases; no image is opened.

    Parameters
    ----------
    folder
        Of the data set.
    faults
        Gets what is wrong with its files, so that it can be told together with what `check_cases` finds. The data set
        is then that of the cases whose files are there.

    Raises
    ------
    UserError
        The folder is no nnU-Net data set, or its description is wrong. Without ``faults``: or a file is missing; the
        message says which.
    """
    collected = Faults() if faults is None else faults
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of an nnU-Net raw data set, which {MAKER} makes")
    # A link keeps its name: nnU-Net finds a data set by the name, which that of the link's target need not be.
    folder = Path(os.path.abspath(folder))
    _want_inside(folder, "dataset.json")
    description = read_description(folder / "dataset.json")
    if not re.fullmatch(r"Dataset\d{3}_.+", folder.name):
        raise UserError(f"nnU-Net wants a data set folder named DatasetXXX_Name (three digits), got {folder.name!r}")
    if "dataset" in description:
        training, identifiers = _listed_cases(folder, description, collected)
    else:
        _want_inside(folder, "imagesTr", "labelsTr")
        training, identifiers = _find_cases(folder, "Tr", description, collected)
    if not training and not collected.found:
        raise UserError(f"{folder / 'imagesTr'} has no file CASE_0000{description['file_ending']}")
    if identifiers and len(identifiers) != description["numTraining"]:
        collected.add(
            f"dataset.json says numTraining = {description['numTraining']}, there are {len(identifiers)} training "
            f"cases; correct it, or add what is missing"
        )
    held_out: tuple[Case, ...] = ()
    if (folder / "labelsTs").is_dir():
        held_out, _ = _find_cases(folder, "Ts", description, collected)
    splits = _read_splits(folder / "splits_final.json", identifiers, collected)
    if faults is None:
        collected.tell(folder.name)
    return RawDataset(folder, description, training, held_out, splits)


def check_fold(dataset: RawDataset, fold: int | str) -> None:
    """Raise `UserError` unless ``fold`` (``"all"``, or one of ``splits_final.json``, or else 0 to 4) can be trained."""
    if fold == "all":
        return
    if dataset.splits is not None:
        if int(fold) >= len(dataset.splits):
            what = "splits_final.json has" if dataset.groups is None else "the groups make"
            raise UserError(f"--fold {fold}: {what} only {len(dataset.splits)} folds, counted from 0")
        split = dataset.splits[int(fold)]
        if both := sorted(set(split["train"]) & set(split["val"])):
            raise UserError(
                f"--fold {fold}: splits_final.json has the case {both[0]!r} in both 'train' and 'val' of this fold, so "
                f"that a case would be scored that was trained on; take it out of one, or use --fold all"
            )
    elif dataset.groups is not None:
        raise UserError(f"--fold {fold}: all training cases are of one group, which makes no folds; use --fold all")
    elif int(fold) >= FOLDS:
        raise UserError(
            f"--fold {fold}: nnU-Net makes {FOLDS} folds, counted from 0; use one of them, or add a splits_final.json"
        )
    elif len(dataset.training) < FOLDS:
        raise UserError(
            f"nnU-Net's {FOLDS} folds need at least {FOLDS} training cases, {dataset.name} has "
            f"{len(dataset.training)}; use --fold all, or add a splits_final.json"
        )


def _want_inside(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).exists():
            raise UserError(
                f"{folder} is not an nnU-Net raw data set: it has no {name} "
                f"(wanted: dataset.json, imagesTr and labelsTr); {MAKER} makes one of images and their masks"
            )


def _listed_cases(folder: Path, description: dict[str, Any], faults: Faults) -> tuple[tuple[Case, ...], frozenset[str]]:
    """Cases of a ``dataset.json`` that names every file itself: those that are whole, and the names of all."""
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    files = get_filenames_of_train_images_and_targets(str(folder), copy.deepcopy(description))
    cases = []
    for identifier, listed in files.items():
        case = Case(identifier, tuple(map(Path, listed["images"])), Path(listed["label"]))
        named = [("image", path) for path in case.images] + [("label", case.label)]
        missing = [
            f"missing {what} file {path} of the case {identifier}; add it, or take the case out of dataset.json"
            for what, path in named
            if not path.is_file()
        ]
        for fault in missing:
            faults.add(fault)
        if not case.images:
            faults.add(f"{folder / 'dataset.json'} names no image of the case {identifier}; add it")
        elif not missing:
            cases.append(case)
    return tuple(cases), frozenset(files)


def _find_cases(
    folder: Path, part: str, description: dict[str, Any], faults: Faults
) -> tuple[tuple[Case, ...], frozenset[str]]:
    """The cases that are whole, and the names of all."""
    images, labels = folder / f"images{part}", folder / f"labels{part}"
    ending, n_channels = description["file_ending"], len(description["channel_names"])
    if not images.is_dir():
        faults.add(f"{folder} has labels{part} but no images{part}; add it, or take labels{part} out")
        return (), frozenset()
    pattern = re.compile(r"(.+)_(\d{4})" + re.escape(ending))
    channels: dict[str, dict[int, Path]] = {}
    for path in sorted(images.iterdir()):
        if not path.name.endswith(ending) or is_hidden(path):
            continue
        match = pattern.fullmatch(path.name)
        if match:
            channels.setdefault(match[1], {})[int(match[2])] = path
        else:
            faults.add(
                f"{path} is not named CASE_0000{ending} (case, underscore, four digits of the channel); rename it"
            )
    cases = []
    for identifier, files in channels.items():
        # One file may hold all channels (RGB); whether it does shows when it is read.
        has_channels = sorted(files) in (list(range(n_channels)), [0])
        if not has_channels:
            faults.add(
                f"case {identifier} in {images} has the channels {shown(sorted(files))}, dataset.json wants "
                f"{shown(list(range(n_channels)))}; correct 'channel_names', or the files"
            )
        label = labels / f"{identifier}{ending}"
        if not label.is_file():
            image = next(iter(files.values())).name
            faults.add(f"missing label file {label} of the image {image}; add the label, or take the image out")
        elif has_channels:
            cases.append(Case(identifier, tuple(files[channel] for channel in sorted(files)), label))
    _find_stray_labels(labels, images, ending, set(channels), faults)
    _find_other_endings(labels, images, ending, set(channels), faults)
    return tuple(cases), frozenset(channels)


def _find_stray_labels(labels: Path, images: Path, ending: str, identifiers: set[str], faults: Faults) -> None:
    for path in sorted(labels.iterdir()):
        if not path.name.endswith(ending) or is_hidden(path):
            continue
        if not identifiers:
            faults.add(f"{images} has no file CASE_0000{ending}; add the images, or correct 'file_ending'")
            return
        identifier = path.name.removesuffix(ending)
        if identifier not in identifiers:
            image = images / f"{identifier}_0000{ending}"
            faults.add(f"label {path} has no image {image}; add the image, or take the label out")


def _find_other_endings(labels: Path, images: Path, ending: str, identifiers: set[str], faults: Faults) -> None:
    """Name the cases of which image and label are there, but end in another way: nnU-Net would leave them out."""
    if not identifiers:  # where all do, it is told otherwise, once
        return
    labelled = {path.name[: -len(known)] for path in labels.iterdir() if (known := image_ending(path))}
    for path in sorted(images.iterdir()):
        known = image_ending(path)
        if known is None or path.name.endswith(ending) or is_hidden(path):
            continue
        match = re.fullmatch(r"(.+)_\d{4}", path.name[: -len(known)])
        if match and match[1] in labelled - identifiers:
            faults.add(
                f"{path} does not end in {ending!r}, as dataset.json says of all files, and would be left out with its "
                f"label; store both so, or take them out"
            )


@dataclass(frozen=True)
class _Split:
    """A fold in ``splits_final.json``."""

    train: tuple[str, ...]
    val: tuple[str, ...]


def _read_splits(path: Path, identifiers: frozenset[str], faults: Faults) -> list[dict[str, list[str]]] | None:
    if not path.exists():
        return None
    try:
        splits = read_json(tuple[_Split, ...], path)
    except (OSError, ValueError) as error:
        faults.add(f"cannot read {path} as a list of train and val cases: {last_line(error)}; correct it, or remove it")
        return None
    if not splits:
        faults.add(f"{path} has no folds; add some, or remove it")
    for number, split in enumerate(splits):
        for part, cases in vars(split).items():
            for unknown in sorted(set(cases) - identifiers):
                faults.add(
                    f"{path} names the case {shown(unknown)}, which is not in imagesTr; take it out of {part!r} of the "
                    f"fold {number}"
                )
            if doubled := sorted(case for case, times in Counter(cases).items() if times > 1):
                faults.add(
                    f"{path} names the case {shown(doubled[0])} more than once in {part!r} of the fold {number}; name "
                    f"it once"
                )
            if not cases:
                faults.add(f"{path} has a fold without training or validation cases: {part!r} of the fold {number}")
    return [{part: list(cases) for part, cases in vars(split).items()} for split in splits]


def __getattr__(name: str) -> Any:
    """`check_cases` by the module that once held it."""
    if name != "check_cases":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .case_checks import check_cases

    return check_cases
