"""Folds and seeds: a system is trained once for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..common.errors import UserError
from .systems import ComparedSystem


@dataclass(frozen=True)
class Repeats:
    """Which folds and seeds each system is trained with; a run for each pair of them."""

    folds: tuple[int | str, ...]
    seeds: tuple[int, ...]

    @property
    def pairs(self) -> list[tuple[int | str, int]]:
        """Seeds last: after the folds of one there is a whole cross-validation."""
        return [(fold, seed) for seed in self.seeds for fold in self.folds]


def parse_folds(text: str, option: str = "--folds") -> tuple[int, ...]:
    """Read ``0-4`` or ``0,2,3``; ``option`` is what the user gave it to.

    Raises
    ------
    UserError
        It is neither, or names a fold twice.
    """
    folds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UserError(f"{option} {text}: must be like 0-4, or 0,2,3")
        folds += range(int(match[1]), int(match[2] or match[1]) + 1)
    if len(set(folds)) < len(folds):
        raise UserError(f"{option} {text} names a fold twice")
    return tuple(folds)


def repeated(system: ComparedSystem, repeats: Repeats | None) -> list[ComparedSystem]:
    """The runs of a system: itself, or one for each fold and seed, in a folder inside its own."""
    if repeats is None:
        return [system]
    return [
        replace(
            system,
            name=f"{system.name}/fold_{fold}_seed_{seed}",
            title=f"{system.title}, fold {fold}, seed {seed}",
            settings=replace(system.settings, fold=fold, seed=seed),
        )
        for fold, seed in repeats.pairs
    ]


def list_runs(systems: Sequence[ComparedSystem], repeats: Repeats | None) -> list[ComparedSystem]:
    """All trainings in the order in which they are made: every system with a fold and seed, before the next pair."""
    of_system = [repeated(system, repeats) for system in systems]
    return [run for pair in zip(*of_system, strict=True) for run in pair]
