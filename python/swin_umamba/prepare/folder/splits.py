"""Test cases, of which no group is trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...common.errors import UserError

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
    wanted = share * len(groups)
    chosen: set[str] = set()
    for cases in _shuffled(members)[:-1]:
        # One group at least is taken, and one is left.
        if not chosen or abs(len(chosen) + len(cases) - wanted) < abs(len(chosen) - wanted):
            chosen |= set(cases)
    return chosen


def _members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for case, group in groups.items():
        members.setdefault(group, []).append(case)
    return members


def _shuffled(members: dict[str, list[str]]) -> list[list[str]]:
    order = np.random.default_rng(_SEED).permutation(len(members))
    return [members[sorted(members)[index]] for index in order]
