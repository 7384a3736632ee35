"""The constants of the paper's three evaluations: classes, tolerances, thresholds."""

from __future__ import annotations

ORGANS: dict[str, int] = {
    "liver": 1,
    "right kidney": 2,
    "spleen": 3,
    "pancreas": 4,
    "aorta": 5,
    "inferior vena cava": 6,
    "right adrenal gland": 7,
    "left adrenal gland": 8,
    "gallbladder": 9,
    "esophagus": 10,
    "stomach": 11,
    "duodenum": 12,
    "left kidney": 13,
}
"""Labels of AbdomenMR."""

ORGAN_TOLERANCES: dict[str, float] = {
    "liver": 5.0,
    "right kidney": 3.0,
    "spleen": 3.0,
    "pancreas": 5.0,
    "aorta": 2.0,
    "inferior vena cava": 2.0,
    "right adrenal gland": 2.0,
    "left adrenal gland": 2.0,
    "gallbladder": 2.0,
    "esophagus": 3.0,
    "stomach": 5.0,
    "duodenum": 7.0,
    "left kidney": 3.0,
}
"""NSD tolerances of AbdomenMR in mm."""

ORGANS_SCORED_WHERE_LABELLED = ("aorta", "inferior vena cava", "esophagus")
"""Tubes that go on beyond the slices in which they were labelled; only the labelled slices are scored."""

INSTRUMENTS: dict[str, int] = {
    "Bipolar Forceps": 1,
    "Prograsp Forceps": 2,
    "Large Needle Driver": 3,
    "Vessel Sealer": 4,
    "Grasping Retractor": 5,
    "Monopolar Curved Scissors": 6,
    "Ultrasound Probe": 7,
}
"""Labels of Endovis17."""

INSTRUMENT_TOLERANCE = 2.0
"""NSD tolerance of Endovis17 in pixels."""

CELL_LABELS: dict[str, int] = {"interior": 1, "boundary": 2}
"""Labels of NeurIPSCell's predictions; cells are the connected components of the interior."""

MATCHING_IOU = 0.5
"""Least intersection over union at which a predicted cell is the reference's cell."""
