"""The paper's metrics, and their evaluation over folders of label images."""

from __future__ import annotations

from .cell_matching import MatchCounts, label_components, match_cells, remove_border_cells
from .errors import EvaluationError
from .evaluation import METRICS, Evaluation, evaluate_folders
from .metrics import dice_coefficient, normalized_surface_distance

__all__ = [
    "METRICS",
    "Evaluation",
    "EvaluationError",
    "MatchCounts",
    "dice_coefficient",
    "evaluate_folders",
    "label_components",
    "match_cells",
    "normalized_surface_distance",
    "remove_border_cells",
]
