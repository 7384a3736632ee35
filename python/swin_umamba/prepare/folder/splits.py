"""Test cases and folds that keep each group on one side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...common.errors import UserError
from ...datasets.raw_dataset import FOLDS

_SEED = 12345


def choose_test_cases(groups: Mapping[str, str], share: float) -> set[str]:
    """Return whole groups of cases, chosen at random but always the same, that come nearest to a share of all cases.

    Parameters
    ----------
    groups : mapping
        From case to group.
    share : float
        Above 0 and below 1.

    Raises
    ------
    UserError
        There is one group alone.
    """
    members = _members(groups)
    if len(members) < 2:
        raise UserError(
            f"--test-share needs two groups at least, all {len(groups)} cases are of one, {next(iter(members))}"
        )
    wanted, chosen = share * len(groups), set()
    for cases in _shuffled(members)[:-1]:
        # One group at least is taken, and one is left.
        if not chosen or abs(len(chosen) + len(cases) - wanted) < abs(len(chosen) - wanted):
            chosen |= set(cases)
    return chosen


def folds_of(groups: Mapping[str, str]) -> list[dict[str, list[str]]] | None:
    """Return up to 5 folds as ``splits_final.json`` has them, of about as many cases each; none for a single group."""
    members = _members(groups)
    n_folds = min(FOLDS, len(members))
    if n_folds < 2:
        return None
    held: list[list[str]] = [[] for _ in range(n_folds)]
    # Large groups first: small ones then fill up the rest. The sort keeps the random order of equals.
    for cases in sorted(_shuffled(members), key=len, reverse=True):
        min(held, key=len).extend(cases)
    return [{"train": sorted(set(groups) - set(val)), "val": sorted(val)} for val in held]


def _members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for case, group in groups.items():
        members.setdefault(group, []).append(case)
    return members


def _shuffled(members: dict[str, list[str]]) -> list[list[str]]:
    order = np.random.default_rng(_SEED).permutation(len(members))
    return [members[sorted(members)[index]] for index in order]
