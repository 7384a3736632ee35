"""Folds that keep together the cases of a group, and what the names of cases suggest where no groups were said."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..common.errors import UserError
from ..common.files import replace_atomically
from .groups import groups_of, parse_group_rule
from .raw_dataset import FOLDS, RawDataset

GROUPS_FILE = "groups.csv"
"""In the folder of a data set, the group of each case, in the columns ``case`` and ``group``."""

PREPARED = "prepared"
"""Stands for that table."""

_NUMBERED = re.compile(r"(?P<stem>.*?)[\s._-]*(slice|frame|[szt])?[\s._-]*\d+", re.IGNORECASE)


def with_groups(dataset: RawDataset, group_by: str | None) -> RawDataset:
    """The data set with the groups that the user says, and folds by group where it has none of its own.

    Parameters
    ----------
    dataset
        What was opened.
    group_by
        What `swin_umamba.datasets.groups.parse_group_rule` reads, or `PREPARED`. ``None`` leaves the data set as it is.

    Raises
    ------
    UserError
        The rule cannot be read, a case has no group, or a group is both trained on and held out: in ``imagesTs``, or in
        a fold of the data set's own ``splits_final.json``.
    """
    if group_by is None:
        return dataset
    cases = [case.identifier for case in (*dataset.training, *dataset.held_out)]
    rule = f"{dataset.folder / GROUPS_FILE}:group" if group_by == PREPARED else group_by
    groups = groups_of(cases, parse_group_rule(rule))
    trained = {groups[case.identifier]: case.identifier for case in dataset.training}
    for case in dataset.held_out:
        if (other := trained.get(groups[case.identifier])) is not None:
            raise UserError(
                f"--group-by {group_by}: the test case {case.identifier!r} (imagesTs) and the training case {other!r} "
                f"are of one group, {groups[case.identifier]!r}; take one of them out"
            )
    for number, split in enumerate(dataset.splits or ()):
        of_fold = {groups[case]: case for case in split["train"]}
        for name in split["val"]:
            if (other := of_fold.get(groups[name])) is not None and other != name:
                raise UserError(
                    f"--group-by {group_by}: fold {number} of splits_final.json trains on {other!r} and validates on "
                    f"{name!r}, which are of one group, {groups[name]!r}; remove the file to have folds made by group"
                )
    splits = dataset.splits
    if splits is None:
        splits = group_folds({case.identifier: groups[case.identifier] for case in dataset.training})
    return replace(dataset, splits=splits or None, groups=groups)


def write_groups(folder: Path, groups: Mapping[str, str]) -> None:
    """Write `GROUPS_FILE` of a data set."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("case", "group"), *groups.items()])
    with replace_atomically(folder / GROUPS_FILE) as file:
        file.write(table.getvalue().encode())


def absolute_table(group_by: str) -> str:
    """The same with the whole path of a table, so that a run can be resumed from another folder."""
    path, separator, column = group_by.rpartition(":")
    # Of a regular expression nothing is parsed, so what is no table stays as it is.
    is_table = separator and Path(path).suffix.lower() in (".csv", ".tsv")
    return f"{Path(path).expanduser().absolute()}:{column}" if is_table else group_by


def group_folds(groups: Mapping[str, str], folds: int = FOLDS) -> list[dict[str, list[str]]]:
    """Folds of about equal size in which no group is on both sides, as scikit-learn's ``GroupKFold`` makes them.

    Parameters
    ----------
    groups
        The group of each case.
    folds
        How many, or fewer where there are fewer groups; none for a single group.

    Returns
    -------
    list
        As ``splits_final.json`` has them.
    """
    from sklearn.model_selection import GroupKFold

    cases = sorted(groups)
    folds = min(folds, len(set(groups.values())))
    if folds < 2:
        return []
    splits = GroupKFold(folds).split(cases, groups=[groups[case] for case in cases])
    return [{"train": [cases[i] for i in train], "val": [cases[i] for i in held_out]} for train, held_out in splits]


def stem(case: str) -> str:
    """The name of a case without the number at its end, which may be that of a slice: ``patient3_slice_07``."""
    match = _NUMBERED.fullmatch(case)
    return case if match is None else match["stem"]


def suggested_groups(cases: Iterable[str]) -> dict[str, str]:
    """The group of each case by its `stem`; empty where the stems suggest none.

    They do where there are several, and one of them has several cases. A single stem is the name of the data set.
    """
    stems = {case: stem(case) for case in cases}
    sizes = Counter(stems.values())
    return stems if len(sizes) > 1 and max(sizes.values()) > 1 else {}


def leaked_share(training: Iterable[str], scored: Sequence[str]) -> float:
    """Share of the scored cases whose stem was trained on; 0 where names suggest no groups."""
    training = list(training)
    groups = suggested_groups([*training, *scored])
    if not groups or not scored:
        return 0.0
    trained = {groups[case] for case in training}
    return sum(groups[case] in trained for case in scored) / len(scored)


def describe_leak(training: Iterable[str], scored: Sequence[str]) -> str | None:
    """What a reader must know where names suggest groups that are on both sides; ``None`` where they do not."""
    training = list(training)
    share = leaked_share(training, scored)
    if not share:
        return None
    trained = {stem(case) for case in training}
    example = next(case for case in scored if stem(case) in trained)
    partner = next(case for case in training if stem(case) == stem(example))
    return (
        f"The names of the cases suggest groups, such as several images of one patient: {share:.0%} of the scored "
        f"cases share the beginning of their name with a case that was trained on ({example} with {partner}). If these "
        f"belong together, the scores are too good; --group-by keeps them together."
    )
