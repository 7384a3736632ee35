"""``--metrics`` of report and train: which scores the page shows."""

from __future__ import annotations

import json

import pytest
from swin_umamba.commands.cli import main
from swin_umamba.evaluation.measure_names import MEASURES

from .parsed_page import Element, parse_page


@pytest.fixture
def page_of(make_run, tmp_path):
    """A function that makes a page by the command, and gives it and the record of its run."""
    root = make_run()

    def write(*arguments: str, **settings: object) -> tuple[Element, dict]:
        path = root / "metrics.json"
        metrics = json.loads(path.read_text())
        path.write_text(json.dumps({**metrics, "settings": {**metrics["settings"], **settings}}))
        assert main(["report", str(root), "--output", str(tmp_path / "page.html"), *arguments]) == 0
        return parse_page((tmp_path / "page.html").read_text(encoding="utf-8")), metrics["held_out"]

    return write


def headings(page):
    return [heading.text for heading in page.all("h3") if heading.attributes.get("id", "").startswith("cases-")]


def of_key(held_out, key):
    return held_out[key] if key in held_out else held_out["further"][key]


def test_the_page_has_those_that_were_chosen_with_their_numbers(page_of):
    keys = ("hd95", "precision", "dsc")
    page, held_out = page_of("--metrics", ",".join(keys))
    assert headings(page) == ["HD95", "precision", "DSC"]
    (first, *_) = (row.all("td") for row in page.all("table")[0].all("tbody")[0].all("tr"))
    expected = [of_key(held_out, key)["per_class"]["rim"][s] for key in keys for s in ("mean", "std", "median")]
    shown = [cell.text for place, cell in enumerate(first) if place % 5 < 3]
    assert shown == [f"{value:.3f}" for value in expected]
    headline = page.all("dl")[0].text
    assert [headline.find(f"{name}, mean") >= 0 for name in ("HD95", "precision", "DSC", "NSD")] == [True] * 3 + [False]
    further = next(heading for heading in page.all("h3") if heading.attributes.get("id") == "further")
    assert further.text == "Missed and invented objects"
    assert "Of HD95 0 is best" in page.all("main")[0].text
    assert "The tolerance of the NSD" not in page.all("main")[0].text


def test_of_errors_the_largest_is_the_worst(page_of):
    page, held_out = page_of("--metrics", "assd")
    by_case = {case: sum(s["further"]["assd"].values()) / 2 for case, s in held_out["per_case"].items()}
    worst_first = sorted(by_case, key=by_case.__getitem__, reverse=True)
    table = next(table for table in page.all("table") if "sortable" in table.attributes.get("class", ""))
    assert [row.all("th")[0].text for row in table.all("tbody")[0].all("tr")] == worst_first
    assert [heading.attributes.get("aria-sort", "") for heading in table.all("th")[:2]] == ["", "descending"]
    assert page.all("article")[0].all("h3")[0].text.startswith(f"Worst case: {worst_first[0]}")
    assert page.all("article")[-1].all("h3")[0].text.startswith(f"Best case: {worst_first[-1]}")
    # The worst cell is tinted most, and none lies beyond the ends of the scale.
    cells = [cell for cell in table.all("td") if cell.attributes.get("style")]
    shades = [float(cell.attributes["style"].partition(":")[2]) for cell in cells]
    scores = [float(cell.attributes["data-value"]) for cell in cells]
    assert shades.index(min(shades)) == scores.index(max(scores))
    assert 0 < min(shades) <= max(shades) <= 1
    assert f"the worst has a mean ASSD of {max(by_case.values()):.3f}" in page.all("main")[0].text


def test_what_the_training_was_told_is_the_default(page_of):
    page, _ = page_of()
    assert headings(page) == ["DSC", "NSD"]
    assert "The tolerance of the NSD is 1. Distances are" in page.all("main")[0].text
    page, _ = page_of(metrics="rve,lesion-f1")
    assert headings(page) == ["volume error", "lesion F1"]
    assert any("--metrics rve,lesion-f1" in code.text for code in page.all("code"))
    assert headings(page_of("--metrics", "nsd", metrics="rve")[0]) == ["NSD"]


def test_all_of_them_fit_on_one_page(page_of):
    page, _ = page_of("--metrics", ",".join(MEASURES))
    assert headings(page) == list(MEASURES.values())


def test_wrong_names_and_measures_that_a_run_lacks_are_told(make_run, capsys):
    root = make_run()
    assert main(["report", str(root), "--metrics", "hd"]) == 2
    assert "--metrics: there is no measure 'hd'; there are dsc,nsd,hd95" in capsys.readouterr().err
    path = root / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["held_out"]["further"]
    for case in metrics["held_out"]["per_case"].values():
        del case["further"]
    path.write_text(json.dumps(metrics))
    assert main(["report", str(root), "--metrics", "dsc,hd95"]) == 2
    assert "--metrics hd95: a former version made this run, and did not compute it" in capsys.readouterr().err
    assert main(["report", str(root), "--metrics", "dsc"]) == 0
