"""What can be said about a folder of images and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FolderOptions:
    """What can be said about a folder; the help of ``swin-umamba prepare folder`` says what each is."""

    image_name: str | None = None
    mask_names: Sequence[str] = ()
    labels: str | None = None
    threshold: int | None = None
    group_by: str | None = None
    test_share: float | None = None
    skip_unpaired: bool = False
