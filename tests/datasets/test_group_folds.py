"""Folds that keep groups together, and what the names of cases suggest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swin_umamba.common.errors import UserError
from swin_umamba.datasets import Case, RawDataset
from swin_umamba.datasets.group_folds import (
    absolute_table,
    describe_leak,
    group_folds,
    leaked_share,
    stem,
    suggested_groups,
    with_groups,
)
from swin_umamba.datasets.raw_dataset import check_fold

NAMES = [f"p{patient}_slice_{number:02}" for patient in range(3) for number in range(4)]
GROUPS = {name: name.partition("_")[0] for name in NAMES}


def make_dataset(folder=Path("Dataset901_Discs"), training=NAMES, held_out=(), splits=None):
    cases = [tuple(Case(name, (), Path(name)) for name in names) for names in (training, held_out)]
    return RawDataset(folder, {}, *cases, splits)


@pytest.fixture
def table(tmp_path):
    """A function that writes a table and returns its path."""

    def write(*lines, name="patients.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.mark.parametrize("pattern", [r"^(p\d+)_", r"^p\d+"])
def test_a_pattern_gives_its_first_group_or_the_whole_match(pattern):
    assert with_groups(make_dataset(), pattern).groups == GROUPS


def test_a_table_gives_its_column(table):
    path = table("case,age,patient", *(f"{name},7,{group}" for name, group in GROUPS.items()), "another,7,x")
    assert with_groups(make_dataset(), f"{path}:patient").groups == GROUPS
    assert set(with_groups(make_dataset(), f"{path}:age").groups.values()) == {"7"}


def test_prepared_is_the_data_sets_own_table(table):
    path = table("case,group", *(f"{name},{group}" for name, group in GROUPS.items()), name="groups.csv")
    assert with_groups(make_dataset(path.parent), "prepared").groups == GROUPS


def test_the_path_of_a_table_is_made_whole_and_a_pattern_is_kept(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute_table("a/b.csv:patient") == f"{tmp_path}/a/b.csv:patient"
    assert absolute_table(r"^(p\d+)_") == r"^(p\d+)_"


def test_what_gives_no_groups_is_named():
    with pytest.raises(UserError, match="does not match 12 of 12 cases, such as p0_slice_00"):
        with_groups(make_dataset(), r"(q\d+)")
    with pytest.raises(UserError, match=r"cannot read the table Dataset901_Discs/groups.csv"):
        with_groups(make_dataset(), "prepared")


def test_groups_on_both_sides_are_refused():
    with pytest.raises(UserError, match=r"test case 'p0_slice_99' .* and the training case 'p0_slice_03' are of one"):
        with_groups(make_dataset(held_out=["p0_slice_99"]), "^p[0-9]+")
    splits = [{"train": NAMES[:5], "val": NAMES[5:]}]
    with pytest.raises(UserError, match=r"fold 0 of splits_final.json trains on 'p1_slice_00' and validates on 'p1_"):
        with_groups(make_dataset(splits=splits), "^p[0-9]+")
    splits = [{"train": NAMES[:8], "val": NAMES[8:]}]
    assert with_groups(make_dataset(splits=splits), "^p[0-9]+").splits == splits


def test_folds_are_as_many_as_groups_allow():
    dataset = with_groups(make_dataset(), "^p[0-9]+")
    assert len(dataset.splits) == 3
    check_fold(dataset, 2)
    with pytest.raises(UserError, match="--fold 3: the groups make only 3 folds"):
        check_fold(dataset, 3)
    with pytest.raises(UserError, match=r"all training cases are of one group, .* use --fold all"):
        check_fold(with_groups(make_dataset(), "^p"), 0)


@given(st.lists(st.integers(0, 12), min_size=5, max_size=60))
def test_no_group_is_on_both_sides_and_every_case_is_validated_once(numbers):
    groups = {f"case{i}": str(number) for i, number in enumerate(numbers)}
    folds = group_folds(groups)
    kinds = len(set(groups.values()))
    assert len(folds) == (min(5, kinds) if kinds > 1 else 0)
    for fold in folds:
        assert sorted(fold["train"] + fold["val"]) == sorted(groups)
        assert not {groups[case] for case in fold["train"]} & {groups[case] for case in fold["val"]}
    if folds:
        assert sorted(case for fold in folds for case in fold["val"]) == sorted(groups)
        # The largest group goes to the emptiest fold.
        sizes = [len(fold["val"]) for fold in folds]
        assert max(sizes) - min(sizes) <= max(list(groups.values()).count(group) for group in groups.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("patient3_slice_07", "patient3"), ("amos_0507_12", "amos_0507"), ("case", "case"), ("a-12", "a"), ("12", "")],
)
def test_the_stem_is_what_stands_before_the_last_number(name, expected):
    assert stem(name) == expected


def test_names_of_one_stem_suggest_nothing():
    assert suggested_groups(["liver_001", "liver_002", "liver_003"]) == {}
    assert suggested_groups(["anna_1", "bert_1", "carl_1"]) == {}
    assert suggested_groups(NAMES) == GROUPS


def test_the_share_of_scored_cases_whose_stem_was_trained_on():
    training, scored = NAMES[:6], NAMES[6:]
    assert leaked_share(training, scored) == pytest.approx(2 / 6)
    assert leaked_share(NAMES[:8], NAMES[8:]) == 0
    said = describe_leak(training, scored)
    assert "33% of the scored cases" in said
    assert "(p1_slice_02 with p1_slice_00)" in said
    assert describe_leak(NAMES[:8], NAMES[8:]) is None
