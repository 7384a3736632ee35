"""What a run took from a file of pretrained weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..checkpoints.report import LoadReport, by_reason


@dataclass(frozen=True)
class NameGroup:
    """Names of parameters with one fate: ``what`` became of them, and why."""

    what: str
    why: str
    names: list[str]


@dataclass(frozen=True)
class PretrainedSummary:
    """The facts of a load report as rows, and its names in groups."""

    facts: dict[str, str]
    groups: list[NameGroup]


def summarise_pretrained(report: LoadReport | None) -> PretrainedSummary | None:
    """Arrange the report that `swin_umamba.load_pretrained` gave.

    Returns
    -------
    PretrainedSummary or None
        ``None`` for a run from random weights.
    """
    if report is None:
        return None
    facts = {"file": report.path.name, "holds": report.architecture, "loaded into": report.network}
    if report.encoder_coverage is not None:
        # Rounded down, so that 100 % means all.
        facts["encoder covered"] = f"{math.floor(1000 * report.encoder_coverage) / 10:g} % of its parameters"
    groups = [
        NameGroup("loaded", "the file's values, unchanged", list(report.loaded)),
        *(NameGroup("adapted", why, names) for why, names in by_reason(report.adapted)),
        *(NameGroup("skipped", why, names) for why, names in by_reason(report.skipped)),
        NameGroup("missing", "not in the file, left as they were", list(report.missing)),
    ]
    return PretrainedSummary(facts, [group for group in groups if group.names])
