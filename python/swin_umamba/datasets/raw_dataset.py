"""nnU-Net raw data sets, and the checks that come before any training.

Layout: ``DatasetXXX_Name`` with ``dataset.json``, ``imagesTr``, ``labelsTr`` and optionally
``imagesTs`` with ``labelsTs`` (held-out cases) and ``splits_final.json``. An image is one file per
channel, ``CASE_0000.ending``, ``CASE_0001.ending`` ... or one RGB file; its label is ``CASE.ending``.
Nothing is ever written into the folder.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import UserError, last_line
from ..common.images.formats import JPEG_ENDINGS, LOSSY, is_hidden
from ..common.images.geometry import position_distance
from ..common.images.reading import read_stored
from ..common.images.stored import ImageFault, StoredImage, as_labels
from .description import read_description

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

FOLDS = 5


@dataclass(frozen=True)
class Case:
    """One image with its reference label: ``images`` has one file per channel, or one RGB file."""

    identifier: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class RawDataset:
    """An nnU-Net raw data set whose files are all there."""

    folder: Path
    description: dict[str, Any]
    training: tuple[Case, ...]
    held_out: tuple[Case, ...]
    splits: list[dict[str, list[str]]] | None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def file_ending(self) -> str:
        return self.description["file_ending"]

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

        return LabelManager(
            self.description["labels"], self.description.get("regions_class_order")
        ).num_segmentation_heads

    @property
    def ignore_label(self) -> int | None:
        return self.description["labels"].get("ignore")


def open_raw_dataset(folder: str | os.PathLike[str]) -> RawDataset:
    """Read the description of a raw data set and list its cases; no image is opened.

    Raises
    ------
    UserError
        The folder is no nnU-Net data set, or a file is missing; the message says which.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of an nnU-Net raw data set")
    # A link keeps its name: nnU-Net finds a data set by the name, which that of the link's target need not be.
    folder = Path(os.path.abspath(folder))
    _want_inside(folder, "dataset.json")
    if not re.fullmatch(r"Dataset\d{3}_.+", folder.name):
        raise UserError(f"nnU-Net wants a data set folder named DatasetXXX_Name (three digits), got {folder.name!r}")
    description = read_description(folder / "dataset.json")
    if "dataset" in description:
        training = _listed_cases(folder, description)
    else:
        _want_inside(folder, "imagesTr", "labelsTr")
        training = _find_cases(folder, "Tr", description)
    if not training:
        raise UserError(f"{folder / 'imagesTr'} has no file CASE_0000{description['file_ending']}")
    if len(training) != description["numTraining"]:
        raise UserError(
            f"dataset.json says numTraining = {description['numTraining']}, there are {len(training)} training cases"
        )
    held_out = _find_cases(folder, "Ts", description) if (folder / "labelsTs").is_dir() else ()
    splits = _read_splits(folder / "splits_final.json", {case.identifier for case in training})
    return RawDataset(folder, description, training, held_out, splits)


def check_fold(dataset: RawDataset, fold: int | str) -> None:
    """Raise `UserError` unless ``fold`` (``"all"``, or one of ``splits_final.json``, or else 0 to 4) can be trained."""
    if fold == "all":
        return
    if dataset.splits is not None:
        if int(fold) >= len(dataset.splits):
            raise UserError(f"--fold {fold}: splits_final.json has only {len(dataset.splits)} folds, counted from 0")
        split = dataset.splits[int(fold)]
        if both := sorted(set(split["train"]) & set(split["val"])):
            raise UserError(
                f"--fold {fold}: splits_final.json has the case {both[0]!r} in both 'train' and 'val' of this fold, so "
                f"that a case would be scored that was trained on; take it out of one, or use --fold all"
            )
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
                f"(wanted: dataset.json, imagesTr and labelsTr)"
            )


def _listed_cases(folder: Path, description: dict[str, Any]) -> tuple[Case, ...]:
    """Cases of a ``dataset.json`` that names every file itself."""
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    try:
        files = get_filenames_of_train_images_and_targets(str(folder), copy.deepcopy(description))
        cases = [Case(key, tuple(map(Path, case["images"])), Path(case["label"])) for key, case in files.items()]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'dataset.json'} has a wrong 'dataset': {last_line(error)}") from error
    for case in cases:
        if not case.label.is_file():
            raise UserError(f"missing label file {case.label} of the case {case.identifier}")
        for path in case.images:
            if not path.is_file():
                raise UserError(f"missing image file {path} of the case {case.identifier}")
    return tuple(cases)


def _find_cases(folder: Path, part: str, description: dict[str, Any]) -> tuple[Case, ...]:
    images, labels = folder / f"images{part}", folder / f"labels{part}"
    ending, n_channels = description["file_ending"], len(description["channel_names"])
    if not images.is_dir():
        raise UserError(f"{folder} has labels{part} but no images{part}")
    pattern = re.compile(r"(.+)_(\d{4})" + re.escape(ending))
    channels: dict[str, dict[int, Path]] = {}
    for path in sorted(images.iterdir()):
        if not path.name.endswith(ending) or is_hidden(path):
            continue
        match = pattern.fullmatch(path.name)
        if not match:
            raise UserError(f"{path} is not named CASE_0000{ending} (case, underscore, four digits of the channel)")
        channels.setdefault(match[1], {})[int(match[2])] = path
    cases = []
    for identifier, files in channels.items():
        # One file may hold all channels (RGB); whether it does shows when it is read.
        if sorted(files) not in (list(range(n_channels)), [0]):
            raise UserError(
                f"case {identifier} in {images} has the channels {sorted(files)}, "
                f"dataset.json wants {list(range(n_channels))}"
            )
        label = labels / f"{identifier}{ending}"
        if not label.is_file():
            raise UserError(f"missing label file {label} of the image {files[0].name}")
        cases.append(Case(identifier, tuple(files[channel] for channel in sorted(files)), label))
    _refuse_stray_labels(labels, images, ending, set(channels))
    return tuple(cases)


def _refuse_stray_labels(labels: Path, images: Path, ending: str, identifiers: set[str]) -> None:
    for path in sorted(labels.iterdir()):
        if not path.name.endswith(ending) or is_hidden(path):
            continue
        if not identifiers:
            raise UserError(f"{images} has no file CASE_0000{ending}")
        identifier = path.name.removesuffix(ending)
        if identifier not in identifiers:
            image = images / f"{identifier}_0000{ending}"
            raise UserError(f"label {path} has no image {image}; add the image, or take the label out")


def _read_splits(path: Path, identifiers: set[str]) -> list[dict[str, list[str]]] | None:
    if not path.exists():
        return None
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        named = [set(split[part]) for split in splits for part in ("train", "val")]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot read {path} as a list of train and val cases: {last_line(error)}") from error
    for cases in named:
        if unknown := sorted(cases - identifiers):
            raise UserError(f"{path} names the case {unknown[0]!r}, which is not in imagesTr")
        if not cases:
            raise UserError(f"{path} has a fold without training or validation cases")
    return splits


def check_cases(dataset: RawDataset, cases: Sequence[Case], on_case_done: Callable[[], object] = lambda: None) -> None:
    """Open every image and label and raise `UserError` on the first that cannot be trained on.

    An image that cannot be read, channels and label of different size, spacing or position, a wrong number of
    channels, NaN or infinite values, labels that ``dataset.json`` does not name, no training label with more than
    background.

    Parameters
    ----------
    dataset
        Where the cases come from.
    cases
        The cases to open.
    on_case_done
        Called after each case, for a progress bar.
    """
    reader = _find_reader(dataset, cases[0])
    foreground = {value for values in dataset.classes.values() for value in values}
    allowed = foreground | {0}
    if dataset.ignore_label is not None:
        allowed.add(dataset.ignore_label)
    values: dict[Case, set[int]] = {}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        results = [pool.submit(_check_case, reader, case, dataset.n_channels, allowed) for case in cases]
        try:
            for case, result in zip(cases, results, strict=True):
                values[case] = result.result()
                on_case_done()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if all(case in values and not values[case] & foreground for case in dataset.training):
        raise UserError(
            f"no label of the {len(dataset.training)} training cases in {dataset.folder} holds any of "
            f"{', '.join(dataset.classes)}; nothing can be learned from background alone"
        )


def _find_reader(dataset: RawDataset, example: Case) -> BaseReaderWriter:
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    from ..common.images.nnunet_readers import READERS, register_readers

    register_readers()
    ending = dataset.file_ending.lower()
    if ending in JPEG_ENDINGS:
        raise UserError(f"file_ending {dataset.file_ending!r}: {LOSSY}, and the images too")
    supported = sorted({ending for reader in READERS for ending in reader.supported_file_endings})
    if ending not in supported:
        raise UserError(f"nnU-Net reads no {dataset.file_ending!r} files; file_ending must be one of {supported}")
    # Its own words, before nnU-Net tries one reader after the other.
    _read(example.images[0], "image")
    with _silence():
        try:
            found = determine_reader_writer_from_dataset_json(
                dataset.description, str(example.images[0]), verbose=False
            )
            return found()
        except RuntimeError as error:
            raise UserError(f"cannot read image {example.images[0]}: no reader for it succeeds") from error


def _check_case(reader: BaseReaderWriter, case: Case, n_channels: int, allowed: set[int]) -> set[int]:
    """Raise `UserError` if a case cannot be trained on, else return the values of its label."""
    images = [_read(path, "image", reader) for path in case.images]
    label = _read(case.label, "label", reader)
    found = sum(len(image.values) for image in images)
    if found != n_channels:
        raise UserError(f"image {case.images[0]} has {found} channels, dataset.json names {n_channels}")
    first = f"image {case.images[0].name}"
    for path, image in zip(case.images[1:], images[1:], strict=True):
        _want_one_grid(first, images[0], f"its other channel {path}", image)
    # A label of several channels has another size than one channel of the image.
    one_channel = dataclasses.replace(images[0], values=images[0].values[:1])
    _want_one_grid(first, one_channel, f"its label {case.label}", label)
    for path, image in zip(case.images, images, strict=True):
        if not np.isfinite(image.values).all():
            raise UserError(f"image {path} holds NaN or infinite values; replace them")
    if not np.isfinite(label.values).all():
        raise UserError(f"label {case.label} holds NaN or infinite values; replace them")
    try:
        values = set(np.unique(as_labels(label.values)).tolist())
    except ImageFault as fault:
        raise UserError(fault.of(f"label {case.label}")) from fault
    unknown = sorted(values - allowed)
    if unknown:
        shown = ", ".join(f"{value:g}" for value in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise UserError(f"label {case.label} holds the value {shown}, which dataset.json does not name")
    return values


def _want_one_grid(first: str, a: StoredImage, other: str, b: StoredImage) -> None:
    """Raise `UserError` unless two files of a case cover the same place."""
    if a.values.shape != b.values.shape:
        raise UserError(f"{first} has size {_size(a)} but {other} has size {_size(b)}")
    if a.n_axes != b.n_axes:
        raise UserError(f"{first} has {a.n_axes} axes but {other} has {b.n_axes}; store both alike")
    if a.spacing is None or b.spacing is None:
        return
    spacings = [tuple(map(float, image.spacing[::-1])) for image in (a, b)]
    if not np.allclose(*spacings, rtol=1e-3):
        raise UserError(f"{first} has spacing {spacings[0]} but {other} has {spacings[1]}")
    distance = position_distance(a.values.shape[:0:-1], a.affines, b.affines)
    if distance > 0.5 * min(spacings[0]):
        raise UserError(
            f"{first} and {other} lie up to {distance:.3g} mm apart (another origin or direction); they must cover the "
            f"same place: correct the header, or resample one to the other"
        )


def _read(path: Path, what: str, reader: BaseReaderWriter | None = None) -> StoredImage:
    try:
        image = read_stored(path, labels=what == "label")
        if hasattr(reader, "fitting"):
            reader.fitting(image)
        elif reader is not None:
            # One that dataset.json names, which nnU-Net will read the data set with.
            reader.read_seg(str(path)) if what == "label" else reader.read_images((str(path),))
        return image
    except ImageFault as fault:
        about = f"{what} {path}"
        raise UserError(fault.of(about) if str(fault).startswith("it") else f"cannot read {about}: {fault}") from fault
    # A reader of nnU-Net's own raises whatever its library raises, which is no closed list.
    except Exception as error:
        raise UserError(f"cannot read {what} {path}: {last_line(error)}") from error


def _size(image: StoredImage) -> str:
    shape = image.values.shape[1:]
    text = "×".join(str(size) for size in (shape[1:] if shape[0] == 1 else shape))
    return text if len(image.values) == 1 else f"{text} with {len(image.values)} channels"


@contextlib.contextmanager
def _silence():
    """Drop what nnU-Net prints while it tries one reader after the other."""
    sink = io.StringIO()
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        yield
