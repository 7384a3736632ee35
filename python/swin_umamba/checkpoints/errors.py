"""The error that an unusable checkpoint raises."""

from __future__ import annotations

from ..common.errors import UserError


class CheckpointError(UserError, ValueError):
    """A file that cannot be read or does not fit the network; the message says which, why, and what to do."""
