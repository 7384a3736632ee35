"""The whole data set of a folder of images and a folder of masks, known before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...common.errors import Faults, UserError
from ...common.images.dicom.instances import dicom_files
from ...common.images.formats import ENDINGS, JPEG_ENDINGS, files_below
from ...datasets.group_folds import group_folds, suggested_groups
from ...datasets.groups import groups_of, parse_group_rule
from ...paper.data_sets import RGB, DatasetDefinition
from ..preparation import OutputFile, Preparation, default_workers
from .conversion import image_files, label_file, labels_by_file, labels_by_value
from .file_classes import class_labels, mask_forms_by_class, want_classes
from .label_names import parse_label_names
from .mask_rule import MaskRule, resolve_rule
from .options import FolderOptions
from .pairing import NameForm, Pair, Pairing, list_images, pair_files, unread_images
from .splits import choose_test_cases
from .survey import ImageKind, look_at

_PNG_TYPES = ("bool", "uint8", "uint16")
_SHOWN_VALUES = 12


def plan(
    images: Path,
    masks: Path,
    name: str,
    description: str,
    options: FolderOptions,
    workers: int | None = None,
    on_pairs: Callable[[int], object] = lambda n: None,
    on_pair_done: Callable[[], object] = lambda: None,
    *,
    by_channel: bool = True,
) -> Preparation:
    """Pair the files, read all of them once, and decide what is written.

    Parameters
    ----------
    images, masks : pathlib.Path
        The folders; with ``options.mask_names`` they may be the same.
    name : str
        Of the data set, ``DatasetXXX_Name``.
    description : str
        What it is made of, for ``dataset.json``.
    options : FolderOptions
        What the user says beside.
    workers : int or None
        Pairs to read at a time.
    on_pairs, on_pair_done : callable
        Called with the number of pairs, and after each, for a progress bar.
    by_channel : bool
        See `pair_files`.

    Raises
    ------
    UserError
        Something cannot be decided, or files cannot be used.
    """
    names = parse_label_names(options.labels) if options.labels is not None else None
    rule = parse_group_rule(options.group_by) if options.group_by is not None else None
    pairing = _paired(images, masks, options, by_channel)
    cases = [pair.case for pair in pairing.pairs]
    groups = groups_of(cases, rule) if rule is not None else {case: case for case in cases}
    test = choose_test_cases(groups, options.test_share) if options.test_share is not None else set()

    on_pairs(len(cases))
    palette_as_colours = names is not None and any(one.is_colour for one in names)
    survey = look_at(pairing, options.threshold, palette_as_colours, workers or default_workers(), on_pair_done)
    ending, n_channels, notes = _format_of(survey.kinds, pairing.pairs)

    questions = []
    if len(pairing.mask_forms) > 1:
        classes = mask_forms_by_class(pairing.mask_forms)
        if names is None and not options.mask_names:
            want_classes(pairing, classes)
        labels, by_form = class_labels(classes, names)
        said = {str(form): label for form, label in by_form.items() if label}
        held = Counter(form for pair in pairing.pairs for form in pair.masks)
        notes.append(f"masks by class: {', '.join(f'{name} of {held[form]} images' for name, form in classes.items())}")
        if survey.n_overlapping:
            notes.append(f"classes overlap in {survey.n_overlapping} cases; there the later one of the list is kept")
            questions.append(f"classes overlap in {survey.n_overlapping} cases; say which is kept")

        def make_labels(pair: Pair) -> np.ndarray:
            return labels_by_file(pair, by_form, options.threshold, survey.turns)
    else:
        mask_rule, more = resolve_rule(survey.values, names, options.threshold, palette_as_colours)
        labels, said = mask_rule.labels, _said_values(mask_rule)
        notes += more
        if mask_rule.as_colours and names is None:
            questions.append(f"masks hold colours, such as {next(iter(said))}; name them")

        def make_labels(pair: Pair) -> np.ndarray:
            return labels_by_value(pair, mask_rule, survey.turns)

    if survey.turns:
        notes.append(
            f"{len(survey.turns)} masks have their axes in another order or direction than their images, such as "
            f"{next(iter(survey.turns))}; they are turned to them"
        )
    files = []
    for pair in pairing.pairs:
        part = "Ts" if pair.case in test else "Tr"
        files += image_files(part, pair, survey.kinds[pair.case], ending, n_channels)
        files.append(_label_file(part, pair, ending, make_labels))

    training = {case: group for case, group in groups.items() if case not in test}
    splits = group_folds(training)
    if rule is None:
        notes.append(_about_patients(cases))
        if named := suggested_groups(cases):
            patients = len(set(named.values()))
            questions.append(f"names suggest {patients} patients or so, such as {next(iter(named.values()))!r}")
    if not splits:
        notes.append("one group alone makes no folds; train with --fold all")
    channels = RGB if n_channels == 3 else {str(n): f"channel {n}" for n in range(n_channels)}
    if n_channels == 1:
        channels = {"0": "image"}
    return Preparation(
        DatasetDefinition(name, channels, labels, ending, description=description),
        _layout(pairing),
        files,
        {"training cases": len(training), "test cases": len(test), "groups": len(set(groups.values()))},
        [*_said_skipped(pairing), *_said_unread(images, masks), _said_labels(labels, said), *notes],
        {
            "labels": said,
            "channels": n_channels,
            "threshold": options.threshold,
            "group_by": options.group_by,
            "test_share": options.test_share,
        },
        splits or None,
        None if rule is None else groups,
        questions,
    )


def _label_file(part: str, pair: Pair, ending: str, make_labels: Callable[[Pair], np.ndarray]) -> OutputFile:
    return label_file(part, pair, ending, lambda: make_labels(pair))


def _paired(images: Path, masks: Path, options: FolderOptions, by_channel: bool) -> Pairing:
    found_images, found_masks = list_images(images), list_images(masks)
    if images.resolve() == masks.resolve():
        if not options.mask_names:
            raise UserError(
                f"{images} is given for images and masks; say which are masks, such as by --mask-name '*_mask'"
            )
        forms = [NameForm.parse(text) for text in options.mask_names]
        found_masks = {
            stem: path for stem, path in found_masks.items() if any(form.shared_part(stem) for form in forms)
        }
        found_images = {stem: path for stem, path in found_images.items() if stem not in found_masks}
    else:
        found_images, found_masks = _outside(found_images, images, masks), _outside(found_masks, masks, images)
    for folder, found in ((images, found_images), (masks, found_masks)):
        if not found and dicom_files(folder):
            raise UserError(
                f"{folder} holds DICOM, which masks are not read from; store them as NIfTI, as segimage2itkimage of "
                f"dcmqi does with segmentation objects"
            )
        if not found:
            raise UserError(f"{folder} holds no image{_held_instead(folder)}")
    pairing = pair_files(found_images, found_masks, options.image_name, options.mask_names, by_channel=by_channel)
    if not options.skip_unpaired:
        faults = Faults()
        for lonely, kind, folder in (
            (pairing.lonely_images, "mask", masks),
            (pairing.lonely_masks, "image", images),
        ):
            for path in lonely:
                faults.add(f"{path} has no {kind} in {folder}; add it, or leave such out by --skip-unpaired")
        faults.tell(f"pairing {pairing.image_form} with {' and '.join(map(str, pairing.mask_forms))}")
    # a/b and a_b are two names of images, but one of a case.
    counts = Counter(pair.case for pair in pairing.pairs)
    if doubled := [case for case, count in counts.items() if count > 1]:
        raise UserError(f"two images would become the case {doubled[0]}; rename one")
    return pairing


def _outside(found: dict[str, Path], folder: Path, other: Path) -> dict[str, Path]:
    """The files of a folder without those of the other one, where that lies in it, or is linked into it."""
    inner = other.resolve()
    if folder.resolve().is_relative_to(inner):
        return found
    is_inner = {parent: parent.resolve().is_relative_to(inner) for parent in {path.parent for path in found.values()}}
    return {stem: path for stem, path in found.items() if not is_inner[path.parent]}


def _held_instead(folder: Path) -> str:
    """What a folder without images holds, and what to do with it."""
    if outlines := next((path for path in files_below(folder) if path.suffix.lower() in (".json", ".xml")), None):
        return (
            f", but {outlines.name}: outlines, as of labelme, COCO or VOC, are not read; let the program that they "
            f"were drawn with write masks, as PNG"
        )
    if unread := unread_images(folder):
        return f", but {unread[0].name}; convert such files to PNG, TIFF or NIfTI"
    return f"; known endings are {', '.join(ENDINGS + JPEG_ENDINGS)}"


def _format_of(kinds: Mapping[str, ImageKind], pairs: Sequence[Pair]) -> tuple[str, int, list[str]]:
    """The ending of all files, the channels of all images, and what is odd about them."""
    paths = {pair.case: pair.image for pair in pairs}

    def one_of(of: Callable[[ImageKind], object], wanted: object) -> Path:
        return next(paths[case] for case, kind in kinds.items() if of(kind) == wanted)

    if len({(kind.n_axes, kind.has_size) for kind in kinds.values()}) > 1:
        first, *others = dict.fromkeys((kind.n_axes, kind.has_size) for kind in kinds.values())
        shown = [one_of(lambda kind: (kind.n_axes, kind.has_size), want) for want in (first, others[0])]
        raise UserError(
            f"images are of different kinds, 2-D or volumes, with and without a size in mm, such as {shown[0]} and "
            f"{shown[1]}; prepare each kind as a data set of its own"
        )
    counts = {kind.n_channels for kind in kinds.values()}
    if counts <= {1, 3}:
        n_channels = 1 if all(kind.is_grey for kind in kinds.values()) else 3
    elif len(counts) == 1:
        (n_channels,) = counts
    else:
        shown = [one_of(lambda kind: kind.n_channels, want) for want in sorted(counts)[:2]]
        raise UserError(
            f"images have {' and '.join(map(str, sorted(counts)))} channels, such as {shown[0]} and {shown[1]}; give "
            f"all the same"
        )
    types = sorted({kind.dtype for kind in kinds.values()})
    notes = []
    if n_channels == 1 and 3 in counts:
        notes.append("colour images hold shades of grey alone, and are stored as grey")
    elif n_channels == 3 and any(kind.is_grey for kind in kinds.values()):
        n_grey = sum(kind.is_grey for kind in kinds.values())
        notes.append(f"{n_grey} of {len(kinds)} images are grey, and are stored in colour as the others are")
    if len(types) > 1:
        shown = [one_of(lambda kind: kind.dtype, want) for want in types[:2]]
        notes.append(
            f"values are of several types ({', '.join(types)}), such as of {shown[0]} and {shown[1]}; they are kept as "
            f"stored, so see that equal values mean the same"
        )
    kind = next(iter(kinds.values()))
    if kind.n_axes == 3 or kind.has_size:
        return ".nii.gz", n_channels, notes
    return ".png" if set(types) <= set(_PNG_TYPES) else ".tif", n_channels, notes


def _layout(pairing: Pairing) -> str:
    forms = " and ".join(map(str, pairing.mask_forms))
    return f"images {pairing.image_form} with masks {forms}"


def _about_patients(cases: Sequence[str]) -> str:
    if named := suggested_groups(cases):
        return (
            f"names suggest {len(set(named.values()))} patients or so, such as {next(iter(named.values()))!r}; each "
            f"image is taken for one of its own, unless --group-by says otherwise"
        )
    return "each image is taken for a patient of its own; if several are of one, say so by --group-by"


def _said_values(rule: MaskRule) -> dict[str, int]:
    return {f"#{value:06x}" if rule.as_colours else str(value): label for value, label in rule.values.items()}


def _said_labels(labels: Mapping[str, int], said: Mapping[str, int]) -> str:
    by_label = {label: name for name, label in labels.items()}
    shown = [f"{value} is {by_label[label]} ({label})" for value, label in said.items()]
    more = f" and {len(shown) - _SHOWN_VALUES} more" if len(shown) > _SHOWN_VALUES else ""
    return f"labels: {', '.join(shown[:_SHOWN_VALUES])}{more}; the rest is background"


def _said_unread(images: Path, masks: Path) -> list[str]:
    unread = dict.fromkeys(path for folder in (images, masks) for path in unread_images(folder))
    if not unread:
        return []
    return [f"left out: {len(unread)} files of formats that are not read, such as {next(iter(unread))}"]


def _said_skipped(pairing: Pairing) -> list[str]:
    skipped = [(pairing.lonely_images, "images without mask"), (pairing.lonely_masks, "masks without image")]
    return [f"left out: {len(paths)} {what}, such as {paths[0]}" for paths, what in skipped if paths]
