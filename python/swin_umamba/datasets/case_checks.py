"""The checks of every image and label of a raw data set, before any training."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..common.errors import Faults, UserError, last_line
from ..common.images.formats import JPEG_ENDINGS, LOSSY
from ..common.images.geometry import position_distance
from ..common.images.reading import read_stored
from ..common.images.stored import ImageFault, StoredImage, as_labels, unusable_values
from ..common.typed_json import shown
from .digests import CaseDigest
from .raw_dataset import MAKER, Case, RawDataset

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter


def check_cases(
    dataset: RawDataset,
    cases: Sequence[Case],
    on_case_done: Callable[[], object] = lambda: None,
    faults: Faults | None = None,
) -> RawDataset:
    """Open every image and label, and raise `UserError` that tells which cannot be trained on.

    An image that cannot be read, channels and label of different size, spacing or position, a wrong number of
    channels, values that cannot be normalised, labels that ``dataset.json`` does not name, no training label with more
    than background, a held-out case that is a training case as well.

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
    names = [name.casefold() for name in dataset.description["channel_names"].values()]
    values: dict[Case, set[int] | None] = {}
    digests: dict[Case, CaseDigest] = {}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        results = [pool.submit(_check_case, reader, case, names, allowed) for case in cases]
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
    reader: BaseReaderWriter | None, case: Case, names: Sequence[str], allowed: set[int]
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
            _check_grids(case, list(images.values()), label, len(names))
    for number, path in enumerate(case.images):
        if path not in images:
            continue
        channels = images[path].values
        if unusable := unusable_values(channels, names[number : number + len(channels)]):
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
