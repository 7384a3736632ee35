"""The one list of rules by which predictions are scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..common.errors import UserError
from ..common.images.label_files import LabelImage
from ..paper.metrics import INSTRUMENT_TOLERANCE, INSTRUMENTS, ORGAN_TOLERANCES, ORGANS
from . import protocols, published_protocols
from .measure_names import FURTHER, PRIMARY, check_measures
from .scores import CaseScores

DOES_NOT_COUNT = math.nan


@dataclass(frozen=True)
class Rule:
    """How the cases of a data set are scored.

    Attributes
    ----------
    name : str
        What ``--metric`` and `swin_umamba.evaluation.evaluate_folders` call it.
    case_scores : callable
        Scores one case: ``case_scores(reference, prediction, rule)``; see `score`.
    absent : float
        What a class scores in a case whose reference and prediction both lack it.
    as_published : bool
        Whether this is what the released scripts compute.
    keys : tuple of str
        The scores that it gives, of `swin_umamba.evaluation.scores.PAPER_METRICS`.
    labels : dict
        From class name to label, or to the labels of a region. Empty: those of the data set, which `evaluate_folders`
        puts here, with all else that depends on it.
    tolerances : dict
        The NSD's tolerance of each class, in the unit of the spacing.
    default_tolerance : float
        Of each label of the data set, if no other is given.
    ignore_label : int, optional
        Label of the reference whose pixels are not scored.
    masks : tuple of str, optional
        For cells, what the labels of reference and prediction are: ``"instances"`` or ``"interior"``.
    dimensions : tuple of int
        Of the images that can be scored.
    as_in_a_run : bool
        Whether cases and the axes of volumes come in nnU-Net's order, on which the last digits of means and NSD depend;
        and whether those cases of ``labelsTr`` that were not predicted are passed over, as they were trained on.
    reoriented : bool
        Whether nnU-Net turns the volumes of the data set to RAS when it reads them.
    mean_of_class_means : bool
        Whether the score is the mean over classes of their means over cases; else it is the mean over cases.
    reference_suffix : str
        What the name of a reference's file may have behind that of its case.
    settings : dict
        What ``summary.json`` says that the numbers depend on, beside what depends on the data set.
    """

    name: str
    case_scores: Callable[[LabelImage, LabelImage, Rule], CaseScores]
    absent: float
    as_published: bool = False
    keys: tuple[str, ...] = tuple(PRIMARY)
    labels: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    default_tolerance: float = 2.0
    ignore_label: int | None = None
    masks: tuple[str, str] | None = None
    dimensions: tuple[int, ...] = (2, 3)
    as_in_a_run: bool = False
    reoriented: bool = False
    mean_of_class_means: bool = False
    reference_suffix: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    def score(self, reference: LabelImage, prediction: LabelImage) -> CaseScores:
        """Score one case, two images of one shape."""
        return self.case_scores(reference, prediction, self)


ABDOMEN = Rule(
    "abdomen",
    protocols.score_abdomen,
    absent=1.0,
    labels=ORGANS,
    tolerances=ORGAN_TOLERANCES,
    dimensions=(3,),
    mean_of_class_means=True,
    settings={"tolerance_mm": ORGAN_TOLERANCES},
)
ENDOSCOPY = Rule(
    "endoscopy",
    protocols.score_endoscopy,
    absent=DOES_NOT_COUNT,
    labels=INSTRUMENTS,
    tolerances=dict.fromkeys(INSTRUMENTS, INSTRUMENT_TOLERANCE),
    dimensions=(2,),
    settings={"tolerance_pixels": INSTRUMENT_TOLERANCE},
)
CELLS = Rule(
    "cells",
    protocols.score_cells,
    absent=1.0,
    keys=("f1",),
    labels={"cell": 1},
    masks=("instances", "interior"),
    dimensions=(2,),
    reference_suffix="_label",
)
LABELS = Rule("labels", protocols.score_labels, absent=DOES_NOT_COUNT, mean_of_class_means=True)
HELD_OUT = Rule("held-out", protocols.score_held_out, absent=1.0, default_tolerance=1.0, as_in_a_run=True)
"""The rule of ``metrics.json``."""

RULES = (
    ABDOMEN,
    replace(ABDOMEN, case_scores=published_protocols.score_abdomen, as_published=True),
    ENDOSCOPY,
    replace(ENDOSCOPY, case_scores=published_protocols.score_endoscopy, as_published=True),
    CELLS,
    replace(CELLS, case_scores=published_protocols.score_cells, as_published=True, absent=0.0),
    LABELS,
    HELD_OUT,
)
METRICS = tuple(dict.fromkeys(rule.name for rule in RULES))


def with_measures(rule: Rule, measures: Sequence[str]) -> Rule:
    """The rule with other measures of its masks.

    Raises
    ------
    UserError
        A measure is unknown or named twice, or the rule has none but its own.
    """
    check_measures(measures)
    if rule.masks is not None:
        raise UserError(f"--metrics: {rule.name} is scored by {' and '.join(rule.keys).upper()} alone; leave it out")
    if rule.as_published and (further := [key for key in measures if key in FURTHER]):
        raise UserError(f"--metrics {further[0]}: the released scripts compute DSC and NSD alone; leave it out")
    return replace(rule, keys=tuple(measures))


def find_rule(metric: str, as_published: bool = False) -> Rule:
    """Return the rule of a name, as the released scripts have it or as it is meant.

    Raises
    ------
    UserError
        There is no such rule.
    """
    if metric not in METRICS:
        raise UserError(f"the metric is one of {', '.join(METRICS)}, got {metric!r}")
    found = [rule for rule in RULES if (rule.name, rule.as_published) == (metric, as_published)]
    if not found:
        raise UserError(f"there is no published script for the metric {metric}; leave --as-published out")
    return found[0]
