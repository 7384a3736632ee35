"""The size of a pixel in mm, from the attribute that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..stored import ImageFault
from .instances import numbers

if TYPE_CHECKING:
    from pydicom import Dataset

_CENTIMETRES = 3
ATTRIBUTES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Of the patient's plane, of the detector's, and of a scanner of films."""


def pixel_spacing(element: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Return (x, y) in mm and where it comes from; ``None`` and "none" where nothing states it.

    Ultrasound has it by region, in cm; it counts where all regions with a size in cm have the same.

    Raises
    ------
    ImageFault
        It is 0 or negative.
    """
    for name in ATTRIBUTES:
        found = numbers(element.get(name), 2)
        if found is not None:
            if min(found) <= 0:
                raise ImageFault(f"its {name} is {found[0]:g} × {found[1]:g}; positive sizes are wanted")
            # By rows first: the distance of rows is along y.
            return (found[1], found[0]), name
    regions = [
        (10 * abs(float(region.PhysicalDeltaX)), 10 * abs(float(region.PhysicalDeltaY)))
        for region in element.get("SequenceOfUltrasoundRegions") or ()
        if region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == _CENTIMETRES
    ]
    if regions and min(regions[0]) > 0 and np.allclose(regions, regions[0], rtol=1e-3):
        return regions[0], "SequenceOfUltrasoundRegions"
    return None, "none"
