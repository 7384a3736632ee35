"""What tells the content of cases apart, without keeping it: whether it has changed, or stands twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..common.images.stored import StoredImage
from ..common.text import one_line

if TYPE_CHECKING:
    from .raw_dataset import Case

_SHOWN = 3


@dataclass(frozen=True)
class CaseDigest:
    """Digests of one case.

    Attributes
    ----------
    pixels : str or None
        Of its image; ``None`` where all pixels are alike, as of a black one, which says nothing about where it is from.
    whole : str
        Of image, size of a pixel, and label.
    """

    pixels: str | None
    whole: str

    @classmethod
    def of(cls, images: Sequence[StoredImage], label: StoredImage) -> CaseDigest:
        """Digest a case: the files of its channels, and its label."""
        pixels = _digest(images)
        is_flat = all((image.values == image.values.flat[0]).all() for image in images)
        spacings = repr([None if image.spacing is None else [float(s) for s in image.spacing] for image in images])
        return cls(None if is_flat else pixels, f"{pixels}-{_digest([label], spacings)}")


def _digest(images: Sequence[StoredImage], more: str = "") -> str:
    # Not for secrets, but of a length at which no two are alike by chance.
    found = hashlib.blake2b(more.encode(), digest_size=12)
    for image in images:
        found.update(repr((image.values.shape, image.values.dtype.str)).encode())
        found.update(np.ascontiguousarray(image.values).data)
    return found.hexdigest()


def describe_doubles(digests: Mapping[Case, CaseDigest], trained: Sequence[Case], scored: Sequence[Case]) -> str | None:
    """Say which scored cases have the image of a case that is trained on, in one line; ``None`` where none has."""
    known = {digests[case].pixels: case.identifier for case in trained if digests[case].pixels is not None}
    found = [(case.identifier, known[digests[case].pixels]) for case in scored if digests[case].pixels in known]
    if not found:
        return None
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    named = ", ".join(f"{one_line(a, 40)} is {one_line(b, 40)}" for a, b in found[:_SHOWN])
    return (
        f"{len(found)} of the {len(scored)} scored cases have the same pixels as one that is trained on "
        f"({named}{more}), so that the scores are too good; take one of each out"
    )
