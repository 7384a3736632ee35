"""Finding and checking the folders and files of a download."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import UserError
from ..common.images.formats import is_file_or_lost, is_hidden


@dataclass(frozen=True)
class NameForm:
    """The form of file names.

    Attributes
    ----------
    pattern : str
        Regular expression of the whole name, in any case of letters; its first group is the case.
    shown : str
        The same for the user.
    """

    pattern: str
    shown: str

    def case_of(self, path: Path) -> str:
        """Return the case that a file belongs to; raise `UserError` if its name has another form."""
        match = re.fullmatch(self.pattern, path.name, flags=re.IGNORECASE)
        if not match:
            raise UserError(f"{path} has an unexpected name; wanted is {self.shown}")
        return match[1]


def folders_below(source: Path, depth: int) -> Iterator[Path]:
    """Yield a folder and the folders inside it down to a depth, each before those inside it, sorted."""
    yield source
    if depth:
        for child in sorted(source.iterdir()):
            if child.is_dir() and not is_hidden(child):
                yield from folders_below(child, depth - 1)


def find_folder(source: Path, is_wanted: Callable[[Path], bool], depth: int, what: str) -> Path | None:
    """Return the only folder that is wanted, none if there is none.

    Raises
    ------
    UserError
        There are several.
    """
    found = [folder for folder in folders_below(source, depth) if is_wanted(folder)]
    if len(found) > 1:
        raise UserError(f"{source} holds {what} more than once: {found[0]} and {found[1]}; name the one to take as SRC")
    return found[0] if found else None


def list_files(folder: Path, endings: Iterable[str]) -> list[Path]:
    """Return the files of a folder with one of the endings (lower case), sorted.

    Raises
    ------
    UserError
        The folder is missing.
    """
    if not folder.is_dir():
        raise UserError(f"the folder {folder} is missing")
    endings = tuple(endings)
    return sorted(
        path
        for path in folder.iterdir()
        if is_file_or_lost(path) and not is_hidden(path) and path.name.lower().endswith(endings)
    )


def pair_by_name(
    images: Iterable[Path], labels: Iterable[Path], image_form: NameForm, label_form: NameForm
) -> list[tuple[str, Path, Path]]:
    """Pair images with labels of the same case.

    Returns
    -------
    list of (str, pathlib.Path, pathlib.Path)
        Case, image and label, sorted by case.

    Raises
    ------
    UserError
        A name has another form, two files claim one case, or an image or label has no partner.
    """
    found: list[dict[str, Path]] = []
    for files, form in ((images, image_form), (labels, label_form)):
        cases: dict[str, Path] = {}
        for path in files:
            case = form.case_of(path)
            if case in cases:
                raise UserError(f"two files claim the case {case}: {cases[case]} and {path}")
            cases[case] = path
        found.append(cases)
    of_images, of_labels = found
    for own, other, kind in ((of_images, of_labels, "label"), (of_labels, of_images, "image")):
        lonely = sorted(set(own) - set(other))
        if lonely:
            raise UserError(
                f"{len(lonely)} of {len(own)} files have no {kind}, such as {own[lonely[0]]}; is the download whole?"
            )
    return [(case, of_images[case], of_labels[case]) for case in sorted(of_images)]


def unknown_layout(source: Path, dataset: str, expected: str) -> UserError:
    """Return the error for a download of no known layout: what was expected, and what is there."""
    entries = [path.name + "/" * path.is_dir() for path in sorted(source.iterdir()) if not is_hidden(path)]
    seen = ", ".join(entries[:6]) + (f" and {len(entries) - 6} more" if len(entries) > 6 else "")
    return UserError(f"{source} is no download of {dataset}: expected {expected}; found {seen or 'an empty folder'}")
