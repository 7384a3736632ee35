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
import inspect
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import Faults, UserError, last_line
from ..common.images.formats import JPEG_ENDINGS, LOSSY, image_ending, is_hidden
from ..common.images.geometry import position_distance
from ..common.images.reading import read_stored
from ..common.images.stored import ImageFault, StoredImage, as_labels, unusable_values
from ..common.typed_json import read_json, shown
from .description import read_description
from .digests import CaseDigest

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

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


def check_cases(
    dataset: RawDataset,
    cases: Sequence[Case],
    on_case_done: Callable[[], object] = lambda: None,
    faults: Faults | None = None,
) -> RawDataset:
    """Open every image and label, and raise `UserError` that tells which cannot be trained on.

    An image that cannot be read, channels and label of different size, spacing or position, a wrong number of
    channels, NaN or infinite values, labels that ``dataset.json`` does not name, no training label with more than
    background, a held-out case that is a training case as well.

    Parameters
    ----------
    dataset
        Where the cases come from.
    cases
        The cases to open.
    on_case_done
        Called after each case, for a progress bar.
    faults
        What has been found before, to be told together.

    Returns
    -------
    RawDataset
        The same, with the digests of the cases.
    """
    faults = Faults() if faults is None else faults
    digests: dict[Case, CaseDigest] = {}
    if cases:
        with faults.caught():
            digests = _check_content(dataset, cases, on_case_done, faults)
    by_name = {case.identifier: digests[case].pixels for case in dataset.training if case in digests}
    for case in dataset.held_out:
        pixels = digests[case].pixels if case in digests else None
        if pixels is not None and by_name.get(case.identifier) == pixels:
            faults.add(
                f"the case {case.identifier} stands in imagesTr and in imagesTs, and would be scored as held out "
                f"though it is trained on; take it out of one of them"
            )
    faults.tell(dataset.name)
    return dataclasses.replace(dataset, digests=digests)


def _check_content(
    dataset: RawDataset, cases: Sequence[Case], on_case_done: Callable[[], object], faults: Faults
) -> dict[Case, CaseDigest]:
    reader = _find_reader(dataset, cases)
    foreground = {value for values in dataset.classes.values() for value in values}
    allowed = foreground | {0}
    if dataset.ignore_label is not None:
        allowed.add(dataset.ignore_label)
    values: dict[Case, set[int] | None] = {}
    digests: dict[Case, CaseDigest] = {}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        results = [pool.submit(_check_case, reader, case, dataset.n_channels, allowed) for case in cases]
        try:
            for case, result in zip(cases, results, strict=True):
                found, values[case], digest = result.result()
                if digest is not None:
                    digests[case] = digest
                for fault in found:
                    faults.add(fault)
                on_case_done()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    seen = [values.get(case) for case in dataset.training]
    if all(held is not None and not held & foreground for held in seen):
        raise UserError(
            f"no label of the {len(dataset.training)} training cases in {dataset.folder} holds any of "
            f"{', '.join(dataset.classes)}; nothing can be learned from background alone; give labels "
            f"that hold them"
        )
    return digests


def _find_reader(dataset: RawDataset, cases: Sequence[Case]) -> BaseReaderWriter | None:
    """nnU-Net's reader of the data set; ``None`` where not one image can be read, of which each will be told."""
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    from ..common.images.nnunet_readers import READERS, register_readers

    register_readers()
    ending = dataset.file_ending.lower()
    if ending in JPEG_ENDINGS:
        raise UserError(f"file_ending {dataset.file_ending!r}: {LOSSY}, and the images too; {MAKER} does")
    supported = sorted({ending for reader in READERS for ending in reader.supported_file_endings})
    if ending not in supported:
        raise UserError(f"nnU-Net reads no {dataset.file_ending!r} files; file_ending must be one of {supported}")
    for example in cases:
        # nnU-Net tries one reader after the other, and says nothing of use.
        with contextlib.suppress(UserError):
            _read(example.images[0], "image")
            break
    else:
        return None
    with _silence():
        try:
            found = determine_reader_writer_from_dataset_json(
                dataset.description, str(example.images[0]), verbose=False
            )
        except RuntimeError as error:
            raise UserError(f"cannot read image {example.images[0]}: no reader for it succeeds") from error
    if not isinstance(found, type) or not issubclass(found, BaseReaderWriter) or inspect.isabstract(found):
        name = dataset.description["overwrite_image_reader_writer"]
        raise UserError(
            f"dataset.json: 'overwrite_image_reader_writer' {shown(name)} is no reader of nnU-Net; leave it out"
        )
    return found()


def _check_case(
    reader: BaseReaderWriter | None, case: Case, n_channels: int, allowed: set[int]
) -> tuple[list[str], set[int] | None, CaseDigest | None]:
    """What forbids training on a case, the values of its label, and its digest; ``None`` where they cannot be told."""
    faults = Faults()
    images: dict[Path, StoredImage] = {}
    for path in case.images:
        with faults.caught():
            images[path] = _read(path, "image", reader)
    label = values = None
    with faults.caught():
        label = _read(case.label, "label", reader)
    if len(images) == len(case.images):
        with faults.caught():
            _check_grids(case, list(images.values()), label, n_channels)
    for path, image in images.items():
        if unusable := unusable_values(image.values):
            faults.add(f"image {path} holds {unusable}")
    if label is not None:
        with faults.caught():
            values = _values_of(label, case.label)
    if unknown := sorted((values or set()) - allowed):
        faults.add(f"label {case.label} holds {_unknown_values(unknown)}")
        values = None
    digest = None if faults.found or label is None else CaseDigest.of(list(images.values()), label)
    return faults.found, values, digest


def _check_grids(case: Case, images: Sequence[StoredImage], label: StoredImage | None, n_channels: int) -> None:
    """Raise `UserError` unless the files of a case have the wanted channels and cover the same place."""
    found = sum(len(image.values) for image in images)
    if found != n_channels:
        raise UserError(
            f"image {case.images[0]} has {found} channels, dataset.json names {n_channels}; correct 'channel_names', "
            f"or the image"
        )
    first = f"image {case.images[0].name}"
    for path, image in zip(case.images[1:], images[1:], strict=True):
        want_one_grid(first, images[0], f"its other channel {path}", image)
    if label is not None:
        # A label of several channels has another size than one channel of the image.
        one_channel = dataclasses.replace(images[0], values=images[0].values[:1])
        want_one_grid(first, one_channel, f"its label {case.label}", label)


def _values_of(label: StoredImage, path: Path) -> set[int]:
    if not np.isfinite(label.values).all():
        raise UserError(f"label {path} holds NaN or infinite values; replace them")
    try:
        return set(np.unique(as_labels(label.values)).tolist())
    except ImageFault as fault:
        raise UserError(fault.of(f"label {path}")) from fault


def _unknown_values(unknown: Sequence[int]) -> str:
    """The values that dataset.json does not name, and what to do."""
    several = ", ".join(f"{value:g}" for value in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
    advice = "name it in dataset.json, or correct the label"
    if unknown == [255]:
        advice = f"labels must be 0, 1, 2, ...: write a mask of 0 and 255 as 0 and 1, as {MAKER} does"
    elif len(unknown) > 1:
        advice = (
            f"labels must be 0, 1, 2, ... as dataset.json names them: write each shade of grey as its number, as "
            f"{MAKER} does"
        )
    return f"the value {several}, which dataset.json does not name; {advice}"


def want_one_grid(first: str, a: StoredImage, other: str, b: StoredImage) -> None:
    """Raise `UserError` unless two files of a case cover the same place."""
    if a.values.shape != b.values.shape:
        raise UserError(
            f"{first} has size {_size(a)} but {other} has size {_size(b)}; give all files of a case one size"
        )
    if a.n_axes != b.n_axes:
        raise UserError(f"{first} has {a.n_axes} axes but {other} has {b.n_axes}; store both alike")
    if a.spacing is None or b.spacing is None:
        return
    spacings = [tuple(map(float, spacing[::-1])) for spacing in (a.spacing, b.spacing)]
    if not np.allclose(spacings[0], spacings[1], rtol=1e-3):
        raise UserError(f"{first} has spacing {spacings[0]} but {other} has {spacings[1]}; correct the header")
    distance = position_distance(a.values.shape[:0:-1], a.affines, b.affines)
    if distance > 0.5 * min(spacings[0]):
        raise UserError(
            f"{first} and {other} lie up to {distance:.3g} mm apart (another origin or direction); they must cover the "
            f"same place: correct the header, or resample one to the other"
        )


def _read(path: Path, what: str, reader: BaseReaderWriter | None = None) -> StoredImage:
    try:
        image = read_stored(path, labels=what == "label")
        if reader is not None and hasattr(reader, "fitting"):
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
def _silence() -> Iterator[None]:
    """Drop what nnU-Net prints while it tries one reader after the other."""
    sink = io.StringIO()
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        yield
