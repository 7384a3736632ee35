"""One look at every pair before anything is written: what is wrong with it, and what decides for all files together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...common.errors import Faults
from ...common.images.formats import PLAIN_ENDINGS, image_ending
from ...common.images.reading import palette_of, read_stored
from ...common.images.stored import ImageFault, StoredImage, unusable_values
from ...common.images.turning import Turn, turn_to
from ...datasets.case_checks import want_one_grid
from .mask_values import FoundValues, codes_of, opaque, read_mask, unique_values
from .pairing import Pair, Pairing
from .reading import reading

T = TypeVar("T")
R = TypeVar("R")

_PNG_KINDS_TO_COPY = {0: 1, 2: 3}
"""PNG's kinds of pixels that every program reads alike, without palette and opacity: their channels."""


@dataclass(frozen=True)
class ImageKind:
    """What one image is like.

    Attributes
    ----------
    n_axes, n_channels : int
        Of the pixels, without a channel of opacity.
    is_grey : bool
        Whether all channels are the same.
    dtype : str
        Type of the stored values.
    has_size : bool
        Whether its format has a size in mm.
    as_png : int
        The channels with which its file can be copied as PNG, 0 where it cannot.
    """

    n_axes: int
    n_channels: int
    is_grey: bool
    dtype: str
    has_size: bool
    as_png: int


@dataclass
class Survey:
    """What was found.

    Attributes
    ----------
    kinds : dict
        Of each image, by case.
    values : FoundValues
        In the masks, where one file has all classes.
    n_overlapping : int
        Cases in which masks of several classes hold one pixel.
    turns : dict
        By path, of the masks that lie on the grid of their images with other axes.
    """

    kinds: dict[str, ImageKind] = field(default_factory=dict)
    values: FoundValues = field(default_factory=FoundValues)
    n_overlapping: int = 0
    turns: dict[Path, Turn] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    kind: ImageKind | None
    values: list[tuple[np.ndarray, bool, Path]]
    palettes: list[tuple[Path, dict[int, int]]]
    overlaps: bool
    turns: dict[Path, Turn]
    faults: list[str]


def look_at(
    pairing: Pairing,
    threshold: int | None,
    palette_as_colours: bool,
    workers: int,
    on_case_done: Callable[[], object] = lambda: None,
) -> Survey:
    """Read every image with its masks.

    Raises
    ------
    UserError
        Some cannot be used; the message tells of all.
    """
    survey, faults = Survey(), Faults()
    palette: dict[int, tuple[int, Path]] = {}
    several = len(pairing.mask_forms) > 1

    def look(pair: Pair) -> _Seen:
        return _look(pair, several, threshold, palette_as_colours)

    with ThreadPoolExecutor(workers) as pool:
        for pair, seen in zip(pairing.pairs, _in_order(pool, look, pairing.pairs, 4 * workers), strict=True):
            for fault in seen.faults:
                faults.add(fault)
            if seen.kind is not None:
                survey.kinds[pair.case] = seen.kind
            for values in seen.values:
                survey.values.add(*values)
            for path, colours in seen.palettes:
                for index, colour in colours.items():
                    before, other = palette.setdefault(index, (colour, path))
                    if before != colour and threshold is None:
                        faults.add(
                            f"{path} has another palette than {other}: its index {index} is #{colour:06x} there and "
                            f"#{before:06x} here; name the colours by --labels NAME=#rrggbb"
                        )
                        break
            survey.n_overlapping += seen.overlaps
            survey.turns.update(seen.turns)
            on_case_done()
    faults.tell(str(pairing.pairs[0].image.parent))
    return survey


def _in_order(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Results in the order of the items, few of them made ahead so that memory does not depend on their number."""
    rest = iter(items)
    pending = [pool.submit(function, item) for item in islice(rest, ahead)]
    try:
        while pending:
            yield pending.pop(0).result()
            pending += [pool.submit(function, item) for item in islice(rest, 1)]
    finally:
        for one in pending:
            one.cancel()


def _look(pair: Pair, several: bool, threshold: int | None, palette_as_colours: bool) -> _Seen:
    faults = Faults()
    kind = image = None
    with faults.caught(), reading(pair.image):
        image = opaque(read_stored(pair.image))
        kind = _kind_of(image, pair.image)
    values, palettes, covered, overlaps = [], [], None, False
    turns = {}
    for path in pair.masks.values():
        with faults.caught(), reading(path):
            mask = read_mask(path, threshold=threshold, palette_as_colours=palette_as_colours)
            codes, is_colour = codes_of(mask, threshold)
            if image is not None:
                flat = StoredImage(image.values[:1], image.n_axes, image.spacing, image.affines)
                other = StoredImage(codes[None], mask.n_axes, mask.spacing, mask.affines)
                if turned := turn_to(other, flat):
                    turns[path], other = turned
                    codes = other.values[0]
                want_one_grid(f"image {pair.image.name}", flat, f"its mask {path}", other)
            held = unique_values(codes)
            if several:
                _want_two_values(held)
                inside = codes != 0
                overlaps |= covered is not None and covered.shape == inside.shape and bool((covered & inside).any())
                covered = inside if covered is None or covered.shape != inside.shape else covered | inside
            else:
                values.append((held, is_colour, path))
                if not palette_as_colours and (colours := palette_of(path)) is not None:
                    palettes.append((path, {int(i): int(colours[i]) for i in held if i < len(colours)}))
    return _Seen(kind, values, palettes, overlaps, turns, faults.found)


def _want_two_values(held: np.ndarray) -> None:
    if len(held) > 2 or (len(held) == 2 and held[0] != 0):
        raise ImageFault(
            f"it holds {len(held)} values, such as {held[-2]} and {held[-1]}, where the mask of a single class has 0 "
            f"and another one; --threshold N takes all from N on for the class"
        )


def _kind_of(image: StoredImage, path: Path) -> ImageKind:
    if unusable := unusable_values(image.values):
        raise ImageFault(f"it holds {unusable}")
    values = image.values
    is_grey = len(values) == 1 or bool((values[1:] == values[:1]).all())
    as_png = 0
    if path.name.lower().endswith(".png"):
        with open(path, "rb") as file:
            head = file.read(26)
        as_png = _PNG_KINDS_TO_COPY.get(head[25], 0) if head[24] in (8, 16) else 0
    has_size = image_ending(path) not in PLAIN_ENDINGS and image.spacing is not None
    return ImageKind(image.n_axes, len(values), is_grey, str(values.dtype), has_size, as_png)
