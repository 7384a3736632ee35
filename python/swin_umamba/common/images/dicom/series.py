"""Series of DICOM objects as images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UserError, last_line
from ..stored import ImageFault, StoredImage
from .instances import ENDINGS_OF_DICOM, Instance, dicom_files, numbers, quiet, read_instances
from .pixels import read_frames, rescale_of, rescaled
from .spacing import pixel_spacing
from .stack import ADVICE, Plane, stack_of

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class Series:
    """Objects that make one image: the slices of a series, a multi-frame object, or a single image.

    Attributes
    ----------
    name : str
        Where it was found below the folder: the folder, or the file without its ending.
    instances : tuple of Instance
        In the order of the files' names.
    """

    name: str
    instances: tuple[Instance, ...]

    @property
    def shown(self) -> str:
        """How messages name it."""
        first = self.instances[0]
        if len(self.instances) == 1:
            return str(first.path)
        return f"series {first.number} ({first.modality}, {len(self.instances)} files) in {first.path.parent}"


@dataclass(frozen=True)
class DicomImage:
    """What `read_series` gives.

    Attributes
    ----------
    image : StoredImage
        Slices along the normal of their planes.
    files : tuple of pathlib.Path
        Of each slice in its order; the one file of a multi-frame object.
    frames : tuple of int or None
        Of each slice, the number of its frame in a multi-frame object, from 0.
    spacing_from : str
        The attribute that has the size of a pixel, or "none".
    """

    image: StoredImage
    files: tuple[Path, ...]
    frames: tuple[int, ...] | None
    spacing_from: str


def find_series(location: Path) -> tuple[list[Series], int]:
    """Return the series in and below a folder, or of one file, sorted by name, and the number of other objects.

    The slices of a series are those of one patient and study with one ``SeriesInstanceUID``, wherever they lie;
    multi-frame objects and images without a place in space stand for themselves.

    Raises
    ------
    UserError
        A file cannot be read as DICOM, a slice states no place, or two series would have one name.
    """
    root = location if location.is_dir() else location.parent
    instances, others = read_instances(dicom_files(location))
    groups: dict[object, list[Instance]] = {}
    for instance in instances:
        # Series of one acquisition can share files' names, and patients a UID where it was replaced by a fixed one.
        key = (instance.series, instance.owner) if instance.is_slice else instance.path
        groups.setdefault(key, []).append(instance)
    for instance in instances:
        slices = groups.get((instance.series, instance.owner), [])
        if not instance.is_slice and instance.n_frames == 1 and any(one.size == instance.size for one in slices):
            raise UserError(
                f"{instance.path} states no place in space, as {len(slices)} other slices of its series do, whose "
                f"stack would lack it; take it out, or set it right"
            )
    whole_folders = Counter(_folder_of(group, root) for group in groups.values() if group[0].is_slice)
    found: dict[str, Series] = {}
    for group in sorted(groups.values(), key=lambda group: (group[0].number, str(group[0].path))):
        name = _folder_of(group, root)
        if not group[0].is_slice or location.is_file() or (name == "" and len(groups) > 1 and len(group) == 1):
            name = _without_ending(group[0].path.relative_to(root).as_posix())
        elif whole_folders[name] > 1 or name == "":
            number = str(group[0].number or group[0].series)
            name = root.resolve().name if len(groups) == 1 else f"{name}/{number}".strip("/")
        if name in found:
            name = f"{name}-{group[0].series}"
        if name in found:
            raise UserError(f"{found[name].shown} and {group[0].path} have one name; move one into a folder of its own")
        found[name] = Series(name, tuple(group))
    return [found[name] for name in sorted(found)], others


def _without_ending(name: str) -> str:
    """Without what names DICOM: the end of ``IM.0001``, or of a UID, tells files apart."""
    return next((name[: -len(ending)] for ending in ENDINGS_OF_DICOM if name.lower().endswith(ending)), name)


def _folder_of(group: list[Instance], root: Path) -> str:
    parents = {instance.path.parent for instance in group}
    common = min(parents, key=lambda path: len(path.parts))
    while not all(common == parent or common in parent.parents for parent in parents):
        common = common.parent
    name = common.relative_to(root).as_posix()
    return "" if name == "." else name


def read_series(series: Series, *, irregular: bool = False) -> DicomImage:
    """Read the image of a series.

    Parameters
    ----------
    series : Series
        Of `find_series`.
    irregular : bool
        Take uneven, tilted and mixed stacks, see `stack_of`.

    Raises
    ------
    ImageFault
        It is no even stack, its files differ in what all must share, or pixels cannot be decoded.
    """
    try:
        with quiet():
            if series.instances[0].is_slice:
                return _read_slices(series.instances, irregular)
            return _read_single(series, irregular)
    except (ImageFault, MemoryError):
        raise
    # pydicom and its decoders raise whatever they meet, which is no closed list.
    except Exception as error:
        raise ImageFault(last_line(error)) from error


def _read_slices(instances: tuple[Instance, ...], irregular: bool) -> DicomImage:
    import pydicom

    if localizers := [instance for instance in instances if instance.is_localizer]:
        others = [instance for instance in instances if not instance.is_localizer]
        if others and not irregular:
            raise ImageFault(
                f"it holds {len(localizers)} localizers beside {len(others)} slices; take them out" + ADVICE
            )
        instances = tuple(others) or instances
    sizes = Counter(instance.size for instance in instances)
    if len(sizes) > 1:
        shown = " and ".join(f"{count} of {size[0]}×{size[1]}" for size, count in sizes.most_common(3))
        if not irregular:
            raise ImageFault(f"its slices have several sizes ({shown}); keep one" + ADVICE)
        instances = tuple(instance for instance in instances if instance.size == sizes.most_common(1)[0][0])
    spacings, thickness = [], None
    sources = set()
    for instance in instances:
        header = pydicom.dcmread(instance.path, stop_before_pixels=True, force=True)
        spacing, source = pixel_spacing(header)
        sources.add(source)
        spacings.append(spacing or (1.0, 1.0))
        if len(instances) == 1:
            found = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
            thickness = float(found) if found else None
    planes = [
        Plane(i.orientation, i.position, spacing)
        for i, spacing in zip(instances, spacings, strict=True)
        if i.orientation is not None and i.position is not None  # as all slices have
    ]
    stack = stack_of(planes, thickness, irregular)
    files = tuple(instances[index].path for index in stack.order)
    frames: list[np.ndarray] = []
    rules = []
    for path in files:
        dataset = pydicom.dcmread(path, force=True)
        frame = read_frames(dataset)
        if len(frame) != 1 or (frames and frame.shape != frames[0].shape):
            raise ImageFault("some of its slices are grey, others in colour")
        frames.append(frame)
        rules.append(rescale_of(dataset))
    values = _values(np.concatenate(frames), rules)
    image = StoredImage(values, 3, stack.spacing, (stack.affine,))
    return DicomImage(image, files, None, "none" if "none" in sources else sources.pop())


def _values(frames: np.ndarray, rules: list[tuple[float, float]]) -> np.ndarray:
    """(C, Z, H, W) of frames (Z, H, W) or (Z, H, W, 3)."""
    if frames.ndim == 4:
        return np.moveaxis(frames, -1, 0)
    return rescaled(frames, rules)[None]


def _read_single(series: Series, irregular: bool) -> DicomImage:
    import pydicom

    path = series.instances[0].path
    dataset = pydicom.dcmread(path, force=True)
    frames = read_frames(dataset)
    if dataset.get("PerFrameFunctionalGroupsSequence"):
        return _read_enhanced(path, dataset, frames, irregular)
    spacing, source = pixel_spacing(dataset)
    values = _values(frames, [rescale_of(dataset)] * len(frames))
    if len(frames) == 1:
        white = 255 if values.dtype == np.uint8 else None
        return DicomImage(StoredImage(values, 2, spacing, (), white), (path,), (0,), source)
    # Frames that follow each other in time have no size between them.
    order, between = tuple(range(len(frames))), 1.0
    if vector := dataset.get("SliceVector"):
        # Of nuclear medicine, in whose objects each frame has the number of its slice.
        if sorted(np.atleast_1d(vector)) != [number + 1 for number in order]:
            raise ImageFault("its frames are slices of several times or views (SliceVector); keep one of each")
        order = tuple(int(frame) for frame in np.argsort(vector))
        between = abs(float(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness") or 1))
    image = StoredImage(values[:, list(order)], 3, (*(spacing or (1.0, 1.0)), between))
    return DicomImage(image, (path,), order, source)


def _read_enhanced(path: Path, dataset: Dataset, frames: np.ndarray, irregular: bool) -> DicomImage:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]

    def group(frame: Dataset, name: str) -> Dataset | None:
        for holder in (frame, shared):
            if holder is not None and holder.get(name):
                found: Dataset = holder[name].value[0]
                return found
        return None

    planes, rules, sources = [], [], set()
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        measures = group(frame, "PixelMeasuresSequence")
        spacing, source = pixel_spacing(measures) if measures is not None else (None, "none")
        sources.add(source)
        place, turn = group(frame, "PlanePositionSequence"), group(frame, "PlaneOrientationSequence")
        position = numbers(place.get("ImagePositionPatient"), 3) if place is not None else None
        orientation = numbers(turn.get("ImageOrientationPatient"), 6) if turn is not None else None
        if position is not None and orientation is not None:
            planes.append(Plane(orientation, position, spacing or (1.0, 1.0)))
        transformation = group(frame, "PixelValueTransformationSequence")
        rules.append(rescale_of(transformation if transformation is not None else dataset))
    if len(rules) != len(frames):
        raise ImageFault(f"it has {len(frames)} frames, but describes {len(rules)}")
    source = "none" if "none" in sources else sorted(sources)[0]
    if len(planes) != len(frames):
        spacing = planes[0].spacing if planes else (1.0, 1.0)
        values = _values(frames, rules)
        n_axes = 2 if len(frames) == 1 else 3
        size = None if source == "none" and n_axes == 2 else (*spacing, 1.0)[:n_axes]
        return DicomImage(StoredImage(values, n_axes, size), (path,), tuple(range(len(frames))), source)
    measures = group(dataset.PerFrameFunctionalGroupsSequence[0], "PixelMeasuresSequence")
    thickness = measures.get("SliceThickness") if measures is not None else None
    stack = stack_of(planes, float(thickness) if thickness else None, irregular)
    order = np.array(stack.order)
    values = _values(frames[order], [rules[index] for index in stack.order])
    return DicomImage(StoredImage(values, 3, stack.spacing, (stack.affine,)), (path,), tuple(stack.order), source)
