"""Which mask belongs to which image, by the files' names."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import UserError
from ...common.images.formats import (
    ENDINGS,
    JPEG_ENDINGS,
    PACKED_ENDINGS,
    UNREAD_ENDINGS,
    files_below,
    image_ending,
)
from ...common.text import one_line

_SAMPLE = 60
"""Masks whose names are looked at to find out what their names have more than those of the images."""

_LARGEST_COUNT_OF_FORMS = 64
_CHANNEL = "_0000"


@dataclass(frozen=True)
class NameForm:
    """What stands before and behind the part of a name that image and mask share, such as ``_mask``."""

    prefix: str = ""
    suffix: str = ""

    @classmethod
    def parse(cls, text: str) -> NameForm:
        """Read a form such as ``*_mask``, with a star for the shared part."""
        prefix, star, suffix = unicodedata.normalize("NFC", text).partition("*")
        if not star or "*" in suffix:
            raise UserError(f"{one_line(text, 80)!r} is no form of names; write a star for what image and mask share")
        return cls(prefix, suffix)

    def shared_part(self, stem: str) -> str | None:
        """Return what a name shares, ``None`` if it does not have this form."""
        if not (stem.startswith(self.prefix) and stem.endswith(self.suffix)):
            return None
        return stem[len(self.prefix) : len(stem) - len(self.suffix)] or None

    def __str__(self) -> str:
        return f"{self.prefix}*{self.suffix}"


@dataclass(frozen=True)
class Pair:
    """An image with its masks, by the form of their names."""

    case: str
    image: Path
    masks: dict[NameForm, Path]


@dataclass(frozen=True)
class Pairing:
    """What was found in both folders.

    Attributes
    ----------
    pairs : list of Pair
        Sorted by case.
    image_form : NameForm
        Of the images' names.
    mask_forms : list of NameForm
        Of the masks' names; of several, each has the masks of a class.
    lonely_images, lonely_masks : list of pathlib.Path
        Files without a partner.
    """

    pairs: list[Pair]
    image_form: NameForm
    mask_forms: list[NameForm]
    lonely_images: list[Path]
    lonely_masks: list[Path]


def list_images(folder: Path) -> dict[str, Path]:
    """Map the names of all image files in and below a folder, without ending and with ``/``, to their paths.

    Raises
    ------
    UserError
        It is no folder, or two files have one name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of the images and that of their masks")
    found: dict[str, Path] = {}
    for path in files_below(folder):
        ending = image_ending(path, ENDINGS + JPEG_ENDINGS)
        if ending is None:
            continue
        # Systems write one letter with its accent in two ways.
        stem = unicodedata.normalize("NFC", path.relative_to(folder).as_posix()[: -len(ending)])
        if stem in found:
            raise UserError(f"{found[stem]} and {path} have one name; keep one, or rename one")
        found[stem] = path
    return found


def unread_images(folder: Path) -> list[Path]:
    """The files in and below a folder that are images of formats which are not read, or packed images."""
    return [path for path in files_below(folder) if image_ending(path, UNREAD_ENDINGS + PACKED_ENDINGS)]


def pair_files(
    images: dict[str, Path],
    masks: dict[str, Path],
    image_form: str | None = None,
    mask_forms: Sequence[str] = (),
    *,
    by_channel: bool = True,
) -> Pairing:
    """Pair images with masks by the part of their names that both share.

    Parameters
    ----------
    images, masks
        See `list_images`.
    image_form, mask_forms
        As `NameForm.parse` reads them; what is not given is found: the forms by which most files have a partner.
    by_channel : bool
        Whether ``_0000`` at the end of all images is nnU-Net's number of the channel, and no part of the case's name.

    Raises
    ------
    UserError
        No file has a partner, or two images or masks claim one case.
    """
    given = [NameForm.parse(text) for text in mask_forms]
    if image_form is not None:
        image_forms = [NameForm.parse(image_form)]
    else:
        image_forms = list(dict.fromkeys([NameForm(), *_common_forms(list(images))]))
    ending = _CHANNEL if by_channel and all(stem.endswith(_CHANNEL) for stem in images) else ""
    found = (_pair(images, masks, form, given, ending) for form in image_forms)
    # The first of those that leave the fewest files alone.
    best = min(found, key=lambda pairing: len(pairing.lonely_images) + len(pairing.lonely_masks))
    if not best.pairs:
        raise UserError(
            f"no image and mask share a name: images are named as {_examples(images)}, masks as {_examples(masks)}; "
            f"say what they share by --image-name and --mask-name, such as --mask-name '*_mask'"
        )
    return best


def _examples(files: dict[str, Path]) -> str:
    return " or ".join(path.name for path in list(files.values())[:2])


def _pair(
    images: dict[str, Path], masks: dict[str, Path], form: NameForm, given: list[NameForm], ending: str
) -> Pairing:
    shared = {part: stem for stem in images if (part := form.shared_part(stem)) is not None}
    partners: dict[str, dict[NameForm, Path]] = {}
    left, used = dict(masks), []
    for mask_form in given or _likely_forms(shared.keys(), list(masks)):
        parts = {stem: mask_form.shared_part(stem) for stem in left}
        matching = {stem: part for stem, part in parts.items() if part in shared}
        if matching:
            used.append(mask_form)
        for stem, part in matching.items():
            partners.setdefault(part, {})[mask_form] = left.pop(stem)
        if not left:
            break
    pairs = []
    for part, of_part in sorted(partners.items()):
        case = shared[part].removesuffix(ending).replace("/", "_")
        pairs.append(Pair(case, images[shared[part]], of_part))
    lonely = [path for stem, path in images.items() if form.shared_part(stem) not in partners]
    return Pairing(sorted(pairs, key=lambda pair: pair.case), form, used, lonely, list(left.values()))


def _likely_forms(shared: Collection[str], masks: list[str]) -> list[NameForm]:
    """The forms that names of masks have more than the shared parts, those of most masks first."""
    step = max(1, len(masks) // _SAMPLE)
    counts: Counter[NameForm] = Counter()
    for stem in masks[::step]:
        for first, end in itertools.combinations(range(len(stem) + 1), 2):
            if stem[first:end] in shared:
                counts[NameForm(stem[:first], stem[end:])] += 1
    order = sorted(counts, key=lambda form: (-counts[form], len(form.prefix + form.suffix), str(form)))
    return order[:_LARGEST_COUNT_OF_FORMS]


def _common_forms(stems: list[str]) -> list[NameForm]:
    """What the names of all images begin and end with, numbers left whole."""
    if len(stems) < 2:
        return []
    prefix = _common_start(stems).rstrip("0123456789")
    suffix = _common_start([stem[::-1] for stem in stems])[::-1]
    shortest = min(map(len, stems))
    whole_numbers = suffix.lstrip("0123456789")
    forms = [NameForm(*ends) for ends in ((prefix, ""), ("", suffix), ("", whole_numbers), (prefix, whole_numbers))]
    return [form for form in forms if str(form) != "*" and len(form.prefix + form.suffix) < shortest]


def _common_start(texts: list[str]) -> str:
    first, last = min(texts), max(texts)
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
