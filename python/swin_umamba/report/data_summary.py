"""What a run was trained on, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..runs.record import RunRecord


def describe_data(record: RunRecord) -> dict[str, str] | None:
    """Channels, size and spacing of the images; ``None`` for a run of a former version, which does not say them."""
    data = record.data
    if data is None:
        return None
    return {
        "channels": ", ".join(data.channels),
        "size, in pixels": _range(data.sizes, "d"),
        "spacing": _range(data.spacings, ".4g"),
    }


def _range(ends: Sequence[Sequence[float]], spec: str) -> str:
    smallest, largest = (" × ".join(format(value, spec) for value in end) for end in ends)
    return smallest if smallest == largest else f"{smallest} to {largest}"
