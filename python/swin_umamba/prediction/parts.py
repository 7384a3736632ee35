"""Shares of the images for several processes, such as the jobs of a cluster's array."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..common.errors import UserError

T = TypeVar("T")

_TASK, _FIRST, _STEP, _COUNT = (f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "STEP", "COUNT"))


@dataclass(frozen=True)
class Part:
    """The share of one process.

    Attributes
    ----------
    number : int
        From 1 on.
    count : int
        Of all parts, at least ``number``.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[T]) -> list[T]:
        """Every ``count``-th item: large and small images, which often lie side by side, go to all parts."""
        return list(items[self.number - 1 :: self.count])


def read_part(text: str, environment: Mapping[str, str]) -> Part:
    """Read what the user has said.

    Parameters
    ----------
    text
        ``"2/8"``, or ``"auto"`` for the task of an array of Slurm's.
    environment
        The environment variables, of which Slurm sets ``SLURM_ARRAY_TASK_ID``, ``_COUNT``, ``_MIN`` and ``_STEP``.

    Raises
    ------
    UserError
        It is no part, or this is no task of an array.
    """
    if text != "auto":
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"--part {text}: must be auto, or a number and a count such as 2/8")
        return Part(int(match[1]), int(match[2]))
    try:
        task, count = int(environment[_TASK]), int(environment[_COUNT])
        first, step = int(environment[_FIRST]), int(environment.get(_STEP, "1"))
    except (KeyError, ValueError) as error:
        raise UserError(
            f"--part auto: this is no task of an array of Slurm's ({error} is missing or no number); use sbatch "
            f"--array, or say --part 2/8"
        ) from None
    number, rest = divmod(task - first, max(step, 1))
    if rest or not 0 <= number < count:
        raise UserError(
            f"--part auto: task {task} is none of {count} evenly spaced ones from {first} on; use sbatch "
            f"--array=1-{count}"
        )
    return Part(number + 1, count)
