"""The error that wrong input to an evaluation raises."""

from __future__ import annotations

from ..errors import UserError


class EvaluationError(UserError):
    """Files that cannot be scored as they are; the message says which, why, and what to do."""
