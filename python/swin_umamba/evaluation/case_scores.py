"""What scoring one case gives."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CaseScores:
    """The scores of one case.

    Attributes
    ----------
    case_means : dict
        From metric key (``dsc``, ``nsd``, ``f1``) to the case's own score; NaN where the case has none.
    per_class : dict
        From metric key to a dict from class name to score; a class that does not count in this case is absent or NaN.
    counts : dict
        Numbers behind the scores, such as the cells that were matched.
    """

    case_means: dict[str, float]
    per_class: dict[str, dict[str, float]]
    counts: dict[str, int] = field(default_factory=dict)
