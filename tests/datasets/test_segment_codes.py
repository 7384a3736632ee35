"""What labels are: the key of ``dataset.json`` and the table."""

from __future__ import annotations

import json

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.datasets.description import read_description
from swin_umamba.datasets.segment_codes import Code, SegmentCodes, read_code_table, segment_codes

LIVER = Code("SCT", "10200004", "Liver")
WRITTEN = {"scheme": "SCT", "value": "10200004", "meaning": "Liver"}


def test_the_key_of_a_data_set(tmp_path):
    category = Code("SCT", "49755003", "Altered")
    value = {"liver": {"type": WRITTEN}, "lump": {"type": WRITTEN, "category": vars(category)}}
    assert segment_codes({"segment_codes": value}, "x") == {
        "liver": SegmentCodes(LIVER),
        "lump": SegmentCodes(LIVER, category),
    }
    assert segment_codes({}, "x") == {}
    path = tmp_path / "dataset.json"
    labels = {"background": 0, "liver": 1, "lump": 2}
    description = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".png"}
    path.write_text(json.dumps({**description, "segment_codes": value}))
    assert read_description(path)["segment_codes"] == value
    path.write_text(json.dumps({**description, "segment_codes": {"Liver": {"type": WRITTEN}}}))
    with pytest.raises(UserError, match="names Liver, which 'labels' has not"):
        read_description(path)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"liver": "10200004"}, "segment_codes"),
        ({"liver": {"type": {"scheme": "SCT", "value": "1"}}}, "meaning"),
        ({"liver": {"type": {**WRITTEN, "value": "1" * 17}}}, "no text of 1 to 16 characters"),
        ({"liver": {"type": {**WRITTEN, "meaning": "a\\b"}}}, "no text of 1 to 64 characters"),
        ({"liver": {"type": {**WRITTEN, "scheme": " "}}}, "no text of 1 to 16 characters"),
    ],
)
def test_a_key_of_another_form_is_refused(tmp_path, value, fault):
    with pytest.raises(UserError, match=fault) as error:
        segment_codes({"segment_codes": value}, "dataset.json")
    assert "\n" not in str(error.value)
    path = tmp_path / "dataset.json"
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 1}
    path.write_text(json.dumps({**description, "file_ending": ".png", "segment_codes": value}))
    with pytest.raises(UserError, match=fault):
        read_description(path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table(tmp_path, separator):
    table = tmp_path / "codes.csv"
    columns = "scheme,value,meaning,category_scheme,category_value,category_meaning"
    lines = [f"label,{columns}", "liver,SCT,10200004,Liver,,,", "", "lump ,SCT,10200004,Liver,SCT,49755003,Altered"]
    table.write_text("\n".join(lines).replace(",", separator), encoding="utf-8-sig")
    assert read_code_table(table) == {
        "liver": SegmentCodes(LIVER),
        "lump": SegmentCodes(LIVER, Code("SCT", "49755003", "Altered")),
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("label,scheme,code\nliver,SCT,1\n", "has no column value"),
        ("label,scheme,value,meaning\nliver,SCT,1,Liver\nliver,SCT,2,Liver\n", "line 3 of .* names liver again"),
        ("label,scheme,value,meaning\n,SCT,1,Liver\n", "line 2 of .* names no label"),
        ("label,scheme,value,meaning\nliver,SCT,,Liver\n", "line 2 of .*value is ''"),
        ("label,scheme,value,meaning,category_value\nliver,SCT,1,Liver,2\n", "line 2 of .*scheme is ''"),
        ("label,scheme,value,meaning\n", "holds no line of a label"),
        ("", "has no column label"),
        ("label,scheme,value,meaning,meaning\nliver,SCT,1,Liver,Leber\n", "has two columns meaning"),
        ("label,scheme,value,meaning\nliver,SCT,1,Liver, left\n", "line 2 of .* more cells than columns"),
        ('label,scheme,value,meaning\nliver,SCT,1,"Liver\nleft"\n', "line 3 of .*meaning is 'Liver.*left'"),
        (f"label,scheme,value,meaning\nliver,SCT,1,{'x' * 2**18}\n", "cannot read the table"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, text, fault):
    (tmp_path / "codes.csv").write_text(text)
    with pytest.raises(UserError, match=fault):
        read_code_table(tmp_path / "codes.csv")


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot read the table"):
        read_code_table(tmp_path / "codes.csv")
