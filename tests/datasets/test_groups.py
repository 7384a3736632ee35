"""Groups of cases, by a column of a table or a regular expression."""

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.datasets.groups import groups_of, parse_group_rule


def test_first_group_of_the_expression():
    rule = parse_group_rule(r"^(p\d+)_")
    assert groups_of(["p1_a", "p1_b", "p22_a"], rule) == {"p1_a": "p1", "p1_b": "p1", "p22_a": "p22"}


def test_whole_match():
    assert groups_of(["left_p1", "right_p2"], parse_group_rule(r"p\d+")) == {"left_p1": "p1", "right_p2": "p2"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_column_of_a_table(tmp_path, delimiter):
    table = tmp_path / "cases.csv"
    rows = [("file", "age", "patient"), ("a.png", "1", "x"), ("b", "2", "x"), ("c.nii.gz", "3", "y"), ()]
    table.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    assert groups_of(["c", "a", "b"], parse_group_rule(f"{table}:patient")) == {"c": "y", "a": "x", "b": "x"}


@pytest.mark.parametrize("expression", [r"^(q\d+)", r"p1(_z)?", "z*"])
def test_case_without_group(expression):
    with pytest.raises(UserError, match="does not match 1 of 1 cases, such as p1_a"):
        groups_of(["p1_a"], parse_group_rule(expression))


def test_empty_cells_behind_a_row_are_none(tmp_path):
    (tmp_path / "t.csv").write_text('case,patient\na,"x, y",\nb,z, ,\n')
    assert groups_of(["a", "b"], parse_group_rule(f"{tmp_path}/t.csv:patient")) == {"a": "x, y", "b": "z"}


def test_case_without_row(tmp_path):
    (tmp_path / "t.csv").write_text("case,patient\na,x\nb,\n")
    with pytest.raises(UserError, match="has no row or no value for 2 of 3 cases, such as b"):
        groups_of(["a", "b", "c"], parse_group_rule(f"{tmp_path}/t.csv:patient"))


@pytest.mark.parametrize(
    ("content", "rule", "message"),
    [
        ("case,patient\na,x\n", "t.csv:nobody", "has no column nobody beside case.*it has patient"),
        ("case,patient\na,x\n", "t.csv:case", "has no column case"),
        ("", "t.csv:patient", "has no column patient"),
        ("case,patient\na,x\na.png,y\n", "t.csv:patient", "the case a in two groups, x and y"),
        ("case,patient,patient\na,x,y\n", "t.csv:patient", "has 2 columns patient; leave one of them out"),
        (
            "case,patient\na,Doe, Ann\nb,Doe, Bob\n",
            "t.csv:patient",
            "line 2 of .* has more cells than columns, a, Doe, Ann; put",
        ),
        ("case,patient\n\xe9", "t.csv:patient", "cannot read the table"),
        ("", "none.csv:patient", "cannot read the table"),
        ("", "(", "neither TABLE.csv:COLUMN nor a regular expression"),
    ],
)
def test_wrong_rules(tmp_path, monkeypatch, content, rule, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=message):
        parse_group_rule(rule)
