"""The paper's metrics, and their evaluation over folders of label images.

The names are loaded on first use, so that the help of the command line does not wait for the image libraries.
"""

from __future__ import annotations

from ..common.errors import UserError as EvaluationError
from ..common.lazy_names import lazy_names

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from .cell_matching import MatchCounts, label_components, match_cells, remove_border_cells
    from .evaluation import evaluate_folders
    from .metrics import dice_coefficient, normalized_surface_distance
    from .rules import METRICS, find_rule
    from .scores import Evaluation

__all__ = [
    "METRICS",
    "Evaluation",
    "EvaluationError",
    "MatchCounts",
    "dice_coefficient",
    "evaluate_folders",
    "find_rule",
    "label_components",
    "match_cells",
    "normalized_surface_distance",
    "remove_border_cells",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "METRICS": "rules",
        "Evaluation": "scores",
        "MatchCounts": "cell_matching",
        "dice_coefficient": "metrics",
        "evaluate_folders": "evaluation",
        "find_rule": "rules",
        "label_components": "cell_matching",
        "match_cells": "cell_matching",
        "normalized_surface_distance": "metrics",
        "remove_border_cells": "cell_matching",
    },
)
