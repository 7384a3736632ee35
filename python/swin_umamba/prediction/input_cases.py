"""Images to predict: finding them, and grouping files of one channel each into cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import UserError
from ..common.images.formats import (
    ENDINGS,
    JPEG_ENDINGS,
    PACKED_ENDINGS,
    PLAIN_ENDINGS,
    UNREAD_ENDINGS,
    files_below,
    image_ending,
    is_file_or_lost,
    is_hidden,
)

_NUMBERED = re.compile(r"(.+)_(\d{4})")


class CaseError(Exception):
    """One case cannot be predicted, which does not keep others from it. The message says why, in one line."""


@dataclass(frozen=True)
class InputCase:
    """One image: a file for each channel, or one file.

    Attributes
    ----------
    identifier : str
        Name of the files without channel number and ending; of the prediction too.
    files : tuple of pathlib.Path
        By channel.
    ending : str
        Of the prediction, in lower case, ``.nii.gz`` as one: that of the files, or ``.png`` of JPEG files.
    """

    identifier: str
    files: tuple[Path, ...]
    ending: str


def find_cases(location: Path, n_channels: int) -> tuple[list[InputCase], dict[str, str]]:
    """List the cases of a folder, or the one that a file belongs to.

    ``CASE_0000.png``, ``CASE_0001.png`` … are the channels of one case, as in nnU-Net, if they are just as many as the
    model has channels; ``CASE_0000.png`` alone may hold all of them (RGB). Other numbers, as of the frames of a video,
    and files without a number are cases of their own, named by the whole file name.

    Parameters
    ----------
    location
        A folder, whose files of unknown ending are passed over, and JPEG files beside others, or one image file.
    n_channels
        Channels of the model.

    Returns
    -------
    cases : list of InputCase
        Sorted by identifier.
    incomplete : dict
        From the identifier of cases with missing or surplus channels to what is wrong.

    Raises
    ------
    UserError
        There is no such file or folder, it holds no image, or two files claim one case.
    """
    if not location.exists():
        raise UserError(f"{location} does not exist")
    single = location if location.is_file() else None
    if single is not None and image_ending(single, ENDINGS + JPEG_ENDINGS) is None:
        raise UserError(
            f"{single} is no image of a known format; known endings are {', '.join(ENDINGS + JPEG_ENDINGS)}"
        )
    incomplete: dict[str, str] = {}
    cases: dict[str, InputCase] = {}
    folder = location if single is None else location.parent
    # Beside other images a JPEG is a preview of one.
    only_jpeg = not any(
        image_ending(path) and not is_hidden(path) for path in (single and [single]) or folder.iterdir()
    )
    for identifier, channels, ending in _groups(folder, only_jpeg):
        if single is not None and single not in channels.values():
            continue
        try:
            group = _split(identifier, channels, ending, n_channels)
        except CaseError as error:
            incomplete[identifier] = str(error)
            continue
        for case in group:
            if single is not None and single not in case.files:
                continue
            if case.identifier in cases:
                raise UserError(
                    f"two files claim the case {case.identifier}: {cases[case.identifier].files[0]} and "
                    f"{case.files[0]}; keep one"
                )
            cases[case.identifier] = case
    if not cases and not incomplete:
        if single is None and (below := first_below(folder)) is not None:
            raise UserError(f"{location} holds no image itself, but folders below it do, as {below}; name one of them")
        raise UserError(f"{location} holds no image; known endings are {', '.join(ENDINGS + JPEG_ENDINGS)}")
    return [cases[identifier] for identifier in sorted(cases)], incomplete


def first_below(folder: Path, *, but: Path | None = None) -> Path | None:
    """An image that is not in a folder itself but in one below it, and not in ``but``; ``None`` if there is none."""
    for path in files_below(folder):
        if path.parent == folder or image_ending(path, ENDINGS + JPEG_ENDINGS) is None:
            continue
        if but is None or but.resolve() not in path.resolve().parents:
            return path
    return None


def left_out(folder: Path, cases: Iterable[InputCase]) -> list[Path]:
    """The images in a folder itself that are no part of its cases: of formats that are not read, JPEG beside others."""
    taken = {path for case in cases for path in case.files}
    jpeg = () if any(image_ending(path, JPEG_ENDINGS) for path in taken) else JPEG_ENDINGS
    endings = UNREAD_ENDINGS + PACKED_ENDINGS + jpeg
    return sorted(path for path in folder.iterdir() if image_ending(path, endings) and not is_hidden(path))


def _groups(folder: Path, only_jpeg: bool) -> Iterator[tuple[str, dict[int | None, Path], str]]:
    """Files of one name and ending by their number, ``None`` for a file without one."""
    groups: dict[tuple[str, str, bool], dict[int | None, Path]] = {}
    endings = JPEG_ENDINGS if only_jpeg else ENDINGS
    for path in sorted(folder.iterdir()):
        ending = image_ending(path, endings)
        if ending is None or is_hidden(path) or not is_file_or_lost(path):
            continue
        name = path.name[: -len(ending)]
        match = _NUMBERED.fullmatch(name)
        key = (match[1], ending, True) if match else (name, ending, False)
        groups.setdefault(key, {})[int(match[2]) if match else None] = path
    for (name, ending, _), channels in groups.items():
        # No label image can be a JPEG.
        yield name, channels, ".png" if ending in JPEG_ENDINGS else ending


def _split(name: str, channels: dict[int | None, Path], ending: str, n_channels: int) -> list[InputCase]:
    numbers = list(channels)
    if numbers == [None] or numbers == list(range(n_channels)):
        return [InputCase(name, tuple(channels.values()), ending)]
    # Without a number for each channel, one file must hold them all.
    if n_channels == 1 or (n_channels in (3, 4) and ending in PLAIN_ENDINGS):
        if numbers == [0]:
            return [InputCase(name, (channels[0],), ending)]
        return [InputCase(path.name[: -len(ending)], (path,), ending) for path in channels.values()]
    raise CaseError(f"it has the channels {_span(numbers)}, the model wants {_span(range(n_channels))}")


def _span(numbers: Iterable[int | None]) -> str:
    shown = [f"{number:04d}" for number in numbers if number is not None]
    return ", ".join(shown if len(shown) <= 4 else [*shown[:2], "...", shown[-1]])
