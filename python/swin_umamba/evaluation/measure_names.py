"""The measures by which masks are scored: their names. Importing this loads nothing.

`measures` has what they compute.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..common.errors import UserError
from ..common.setting_kinds import Text

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any

PRIMARY = {"dsc": "DSC", "nsd": "NSD"}
"""Those of a run's ``metrics.json`` in every version, and of the paper."""

FURTHER = {
    "hd95": "HD95",
    "assd": "ASSD",
    "rve": "volume error",
    "precision": "precision",
    "recall": "recall",
    "lesion_f1": "lesion F1",
}
MEASURES = {**PRIMARY, **FURTHER}

ERRORS = ("hd95", "assd", "rve")
"""Those that are best at 0; all others are best at 1."""

MEASURES_HELP = ",".join(MEASURES)


def parse_measures(text: str) -> tuple[str, ...]:
    """Read names divided by commas; a hyphen is as good as an underscore.

    Raises
    ------
    UserError
        A name is unknown or given twice, or there is none.
    """
    names = tuple(name.strip().lower().replace("-", "_") for name in text.split(",") if name.strip())
    check_measures(names)
    return names


class Measures(Text):
    """Measures of a setting: text that `parse_measures` reads, kept as it is."""

    def check(self, value: Any) -> str:
        text: str = super().check(value)
        try:
            parse_measures(text)
        except UserError:
            raise ValueError(f"must be some of {MEASURES_HELP}, each once, divided by commas, got {text!r}") from None
        return text


def check_measures(names: Sequence[str]) -> None:
    """Raise `UserError` for a measure that there is not, or that is named twice."""
    if not names:
        raise UserError(f"--metrics names no measure; there are {MEASURES_HELP}")
    for name in names:
        if name not in MEASURES:
            raise UserError(f"--metrics: there is no measure {name!r}; there are {MEASURES_HELP}")
        if names.count(name) > 1:
            raise UserError(f"--metrics names {name} twice")
