"""The page of a run: whole, self-contained, with the numbers of metrics.json and no other."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import statistics

import pytest
from PIL import Image
from skimage.io import imread
from swin_umamba.evaluation.statistics import bootstrap_interval
from swin_umamba.figures import class_colour
from swin_umamba.report.run_page import write_page

from .parsed_page import Element, parse_page


def _page(root) -> Element:
    return parse_page(write_page(root).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def usual_page(usual_run) -> Element:
    return parse_page((usual_run / "report.html").read_text(encoding="utf-8"))


def _metrics(root) -> dict:
    return json.loads((root / "metrics.json").read_text())


def _cautions(page: Element) -> list[str]:
    return [item.text for aside in page.all("aside") for item in aside.all("li")]


def _sortable(page: Element) -> list[Element]:
    return [table for table in page.all("table") if table.attributes.get("class", "").startswith("sortable")]


def test_nothing_is_loaded_from_elsewhere(usual_run, usual_page):
    html = (usual_run / "report.html").read_text(encoding="utf-8")
    for element in usual_page.all():
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = element.attributes.get(name, "")
            assert value.startswith(("#", "data:image/png;base64,")) or not value, (element.tag, name, value)
        assert "url(" not in element.attributes.get("style", "")
    assert not usual_page.all("link")
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html


def test_the_policy_allows_the_page_s_own_script_only(usual_page):
    (script,) = usual_page.all("script")
    (policy,) = [
        meta for meta in usual_page.all("meta") if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256("".join(script.texts).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy.attributes["content"]
    assert policy.attributes["content"].startswith("default-src 'none'")


def test_a_screen_reader_finds_its_way(usual_page):
    page = usual_page
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    identifiers = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(identifiers) == len(set(identifiers))
    for element in page.all():
        for name in element.attributes.get("aria-labelledby", "").split():
            assert name in identifiers
        if element.tag == "a":
            assert element.attributes["href"].removeprefix("#") in identifiers
        if element.tag == "img":
            assert element.attributes["alt"].strip()
        if element.tag == "svg":
            title, description = element.children[:2]
            assert (title.tag, description.tag) == ("title", "desc")
            assert title.text
            assert description.text
    assert all("scope" in heading.attributes for heading in page.all("th"))
    assert [len(page.all(heading)) for heading in ("h1", "main")] == [1, 1]


def test_the_tables_hold_the_numbers_of_the_metrics(usual_run, usual_page):
    page, held_out = usual_page, _metrics(usual_run)["held_out"]
    for table, metric in zip(_sortable(page), ("dsc", "nsd"), strict=True):
        classes = [heading.text for heading in table.all("th")[2:4]]
        assert classes == ["rim", "core"]
        rows = table.all("tbody")[0].all("tr")
        assert len(rows) == 4
        means = []
        for row in rows:
            (case,), (mean, *cells) = row.all("th"), row.all("td")
            scores = held_out["per_case"][case.text][metric]
            assert [float(cell.attributes["data-value"]) for cell in cells] == [scores[name] for name in classes]
            assert [cell.text for cell in cells] == [f"{scores[name]:.3f}" for name in classes]
            assert float(mean.attributes["data-value"]) == pytest.approx(sum(scores.values()) / 2, abs=1e-15)
            means.append(float(mean.attributes["data-value"]))
        assert means == sorted(means)
    summary = page.all("table")[0].all("tbody")[0].all("tr")
    statistics = ("mean", "std", "median", "min", "max")
    for row, name in zip(summary, ("rim", "core", None), strict=True):
        parts = [held_out[metric] if name is None else held_out[metric]["per_class"][name] for metric in ("dsc", "nsd")]
        assert [cell.text for cell in row.all("td")] == [f"{part[key]:.3f}" for part in parts for key in statistics]
    headline = page.all("dl")[0].text
    assert f"{held_out['dsc']['mean']:.3f} ± {held_out['dsc']['std']:.3f}" in headline
    assert f"{held_out['nsd']['mean']:.3f} ± {held_out['nsd']['std']:.3f}" in headline


def test_curves_and_epochs_are_there(usual_run, usual_page):
    page, training = usual_page, _metrics(usual_run)["training"]
    titles = [svg.children[0].text for svg in page.all("svg")]
    assert titles == [
        "DSC of each case",
        "NSD of each case",
        "DSC over the size of the structure",
        "Loss",
        "Validation Dice",
        "Learning rate",
    ]
    (epochs,) = [table for table in page.all("table") if "validation Dice" in table.text]
    rows = epochs.all("tbody")[0].all("tr")
    assert [float(row.all("td")[0].text) for row in rows] == training["train_loss"]
    assert [float(row.all("td")[3].text) for row in rows] == training["learning_rate"]


def test_the_worst_median_and_best_case_is_shown(usual_page):
    cases = usual_page.all("article")
    assert [case.all("h3")[0].text.split(" case: ")[0] for case in cases] == ["Worst", "2nd worst", "Median", "Best"]
    # The first prediction is shifted least.
    assert "disc_ts3" in cases[0].all("h3")[0].text
    assert "disc_ts0" in cases[3].all("h3")[0].text
    for case in cases:
        assert [figure.all("figcaption")[0].text for figure in case.all("figure")] == [
            "T1",
            "reference",
            "prediction",
            "difference",
        ]
        for picture in case.all("img"):
            data = base64.b64decode(picture.attributes["src"].removeprefix("data:image/png;base64,"))
            size = Image.open(io.BytesIO(data)).size
            assert [str(side) for side in size] == [picture.attributes["width"], picture.attributes["height"]]
        assert re.search(r"rim \d+\.\d%, core \d+\.\d% of the picture", case.all("img")[1].attributes["alt"])


def test_a_page_made_again_is_the_same_page(usual_run, tmp_path):
    again = write_page(usual_run, tmp_path / "again.html")
    assert again.read_bytes() == (usual_run / "report.html").read_bytes()


def test_names_are_text_and_nothing_else(make_run):
    evil = "<script>alert('x')</script>"
    formula = '$\\frac{1}{2}$ & "both" 肝臓 <b>'

    def change(metrics):
        metrics["device"] = "</title><img src=x onerror=alert(1)>"
        metrics["settings"]["pretrained"] = metrics["model"] = "<i>model</i>"

    page = _page(make_run(labels={"background": 0, evil: 1, formula: 2}, change=change))
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert not page.all("i")
    assert page.all("h1")[0].text == "<i>model</i> on Dataset901_Discs"
    assert len(page.all("img")) == 16
    legend = next(element for element in page.all("ul") if element.attributes.get("class") == "legend")
    assert [item.text for item in legend.all("li")] == [evil, formula]
    assert any("frac{1}{2}$" in text.text for text in page.all("svg")[0].all("text"))


def test_a_run_without_held_out_cases(make_run):
    page = _page(make_run(held_out=0, change=lambda metrics: metrics["settings"].update(fold="all")))
    assert [svg.children[0].text for svg in page.all("svg")] == ["Loss", "Validation Dice", "Learning rate"]
    assert not page.all("img")
    (caution,) = _cautions(page)
    assert caution.startswith("No held-out cases")


@pytest.mark.parametrize(("held_out", "places"), [(1, ["Only"]), (2, ["Worst", "Best"])])
def test_few_cases_are_told(make_run, held_out, places):
    page = _page(make_run(held_out=held_out))
    assert [case.all("h3")[0].text.split()[0] for case in page.all("article")] == places
    assert any(text.startswith("Only") and "scored" in text for text in _cautions(page))


def test_cautions_name_what_the_numbers_hide(make_run):
    def change(metrics):
        metrics["settings"]["dataset"] = None
        metrics["held_out_from"] = "validation"
        metrics["training"]["validation_dice"][2] = None
        for case in metrics["held_out"]["per_case"].values():
            case["dsc"]["core"] = 0.0
        case["dsc"]["rim"], case["absent"] = 1.0, ["rim"]

    page = _page(make_run(held_out=4, change=change))
    cautions = " | ".join(_cautions(page))
    for text in (
        "This is the sample data set",
        "validation cases of fold 0",
        "Only 4 cases",
        "“rim” is absent from reference and prediction in 1 of 4 cases",
        "Not found in any case: “core”",
        "The validation Dice was not a finite number in epoch 3.",
    ):
        assert text in cautions
    assert "1.000*" in _sortable(page)[0].text


def test_pictures_of_a_data_set_that_has_moved_are_missed_in_words(make_run):
    root = make_run(held_out=1)
    shutil.rmtree(root.parent / "raw")
    page = _page(root)
    assert not page.all("img")
    assert "The pictures could not be drawn" in page.all("main")[0].text
    assert len(_sortable(page)) == 2


def test_a_missing_prediction_is_missed_in_words(make_run):
    root = make_run(held_out=1)
    shutil.rmtree(root / "predictions")
    assert "there is no predicted label image" in _page(root).all("main")[0].text


def test_the_report_of_pretrained_weights_is_shown(make_run):
    report = {
        "path": "/elsewhere/vssmtiny.pth",
        "architecture": "VMamba-Tiny",
        "network": "SwinUMambaD",
        "loaded": ["encoder.a", "encoder.b"],
        "adapted": {},
        "skipped": {"head.weight": "no place for it", "head.bias": "no place for it"},
        "missing": ["decoder.c"],
        "encoder_coverage": 0.99999,
    }
    page = _page(make_run(held_out=0, change=lambda metrics: metrics["training"].update(pretrained=report)))
    (section,) = [part for part in page.all("section") if part.attributes["aria-labelledby"] == "pretrained"]
    for text in ("vssmtiny.pth", "VMamba-Tiny", "99.9 %", "2: no place for it", "encoder.a, encoder.b", "decoder.c"):
        assert text in section.text
    assert "100 %" not in section.text
    assert "adapted" not in section.text


def _cells(mean: float) -> dict:
    score = {"mean": mean, "std": None, "n": 4}
    return {"metric": "cells", "n_cases": 4, "f1": {**score, "per_class": {"cell": score}}}


def test_the_paper_s_metric_leads_where_there_is_one(make_run):
    scores = {"evaluation": _cells(0.61234), "evaluation_as_published": _cells(0.5)}
    page = _page(make_run(held_out=1, change=lambda metrics: metrics.update(scores)))
    assert [term.text for term in page.all("dt")[:2]] == [
        "F1 as published, the paper’s metric",
        "F1 as defined, the paper’s metric",
    ]
    assert [value.text for value in page.all("dd")[:2]] == ["0.500 ± – over cases", "0.612 ± – over cases"]
    assert not any("no score of the paper" in caution for caution in _cautions(page))


def test_the_page_says_why_there_is_no_score_as_published(make_run):
    reason = "case <7>: neither reference nor prediction holds an instrument"

    def change(metrics):
        metrics.update(evaluation=_cells(0.61234), not_evaluated={"evaluation_as_published": reason})

    page = _page(make_run(held_out=1, change=change))
    assert page.all("dt")[0].text == "F1 as defined, the paper’s metric"
    assert (
        f"There is no score of the paper’s metric as published, by which the paper’s tables were made: {reason}."
        in _cautions(page)
    )


def test_a_run_from_before_the_score_as_published_has_its_page(make_run):
    def change(metrics):
        del metrics["evaluation_as_published"], metrics["not_evaluated"]
        metrics["evaluation"] = _cells(0.61234)

    root = make_run(held_out=1, change=change)
    page = _page(root)
    assert page.all("dd")[0].text == "0.612 ± – over cases"
    assert any("swin-umamba train --resume --output run" in caution for caution in _cautions(page))


def test_the_paper_s_metric_has_a_line_for_each_class(make_run):
    rim, core = {"mean": 0.5, "std": 0.25, "n": 3}, {"mean": None, "std": None, "n": 0}
    whole = {"mean": 0.75, "std": 0.125, "n": 3, "per_class": {"rim": rim, "core": core}}
    evaluation = {"metric": "abdomen", "n_cases": 3, "dsc": whole, "nsd": whole}
    scores = {"evaluation": evaluation, "evaluation_as_published": evaluation}
    page = _page(make_run(held_out=1, change=lambda metrics: metrics.update(scores)))
    table = page.all("table")[1]
    names = [heading.text for heading in table.all("thead")[0].all("th")[1:5]]
    assert names == ["DSC as published", "NSD as published", "DSC as defined", "NSD as defined"]
    rows = table.all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == ["rim", "core", "all"]
    wanted = (["0.500", "0.250", "3"], ["–", "–", "0"], ["0.750", "0.125", "3"])
    assert [[cell.text for cell in row.all("td")] for row in rows] == [4 * cells for cells in wanted]


def test_further_measures_have_a_table_with_the_misses(usual_run, usual_page):
    held_out = _metrics(usual_run)["held_out"]
    (table,) = [table for table in usual_page.all("table") if "HD95" in [cell.text for cell in table.all("th")]]
    rows = {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in table.all("tr") if row.all("td")}
    for name, cells in (("rim", rows["rim"]), ("core", rows["core"])):
        scores = [measure["per_class"][name] for measure in held_out["further"].values()]
        missed = sum(name in case["missed"] for case in held_out["per_case"].values())
        assert cells[:6] == [f"{score['mean']:.3f} ± {score['std']:.3f}" for score in scores]
        assert cells[6] == str(missed)


def test_a_run_of_a_former_version_has_no_further_measures(make_run):
    def as_before(metrics):
        del metrics["held_out"]["further"]
        for case in metrics["held_out"]["per_case"].values():
            del case["further"], case["missed"], case["invented"]

    assert "HD95" not in _page(make_run(change=as_before)).text


def test_means_have_the_intervals_of_a_comparison(make_run):
    root = make_run(held_out=6)
    said = next(p.text for p in _page(root).all("p") if p.attributes.get("id") == "intervals")
    cases = _metrics(root)["held_out"]["per_case"]
    for key, name in (("dsc", "DSC"), ("nsd", "NSD")):
        means = {case: sum(scores[key].values()) / len(scores[key]) for case, scores in cases.items()}
        low, high = bootstrap_interval(means)
        assert f"{name} {low:.3f} to {high:.3f}" in said
    assert "over cases" in said


def test_groups_have_their_deviation_and_their_interval(make_run):
    def grouped(metrics):
        cases = sorted(metrics["held_out"]["per_case"])
        metrics["groups"] = {"of_scored": {case: f"p{i // 2}" for i, case in enumerate(cases)}, "trained": 7}
        metrics["settings"]["group_by"] = "patients.csv:patient"

    root = make_run(held_out=12, change=grouped)
    page = _page(root)
    (groups,) = [p.text for p in page.all("p") if p.attributes.get("id") == "groups"]
    assert "The 12 cases are of 6 groups (by patients.csv:patient), none of which is among the 7" in groups
    cases = _metrics(root)["held_out"]["per_case"]
    means = [sum(cases[case]["dsc"].values()) / 2 for case in sorted(cases)]
    pairs = [(one + other) / 2 for one, other in zip(means[::2], means[1::2], strict=True)]
    assert f"{statistics.pstdev(pairs):.3f} (DSC)" in groups
    assert "over groups" in next(p.text for p in page.all("p") if p.attributes.get("id") == "intervals")


def test_few_cases_have_no_interval(usual_page):
    assert not [p for p in usual_page.all("p") if p.attributes.get("id") == "intervals"]


def _terms(page: Element, identifier: str) -> str:
    (section,) = [part for part in page.all("section") if part.attributes["aria-labelledby"] == identifier]
    return section.text


def test_the_page_tells_what_it_was_trained_on(usual_run, usual_page):
    data = _metrics(usual_run)["data"]
    assert data["parts"]["training"]["cases"] == 1
    assert data["parts"]["test"]["cases"] == 4
    label = imread(next((usual_run.parent / "raw").glob("*/labelsTr/*.png")))
    pixels = data["parts"]["training"]["pixels"]
    assert pixels == {"background": (label == 0).sum(), "rim": (label == 1).sum(), "core": (label == 2).sum()}
    text = _terms(usual_page, "data")
    for number in pixels.values():
        assert f"{number:,} ({100 * number / label.size:.1f} %)" in text
    assert "{} × {}".format(*label.shape) in text
    assert "T1" in text


def test_the_difference_says_what_is_wrong(usual_run, usual_page):
    case = usual_page.all("article")[0]
    name = case.all("h3")[0].text.split(" case: ")[1].split("DSC")[0].strip()
    reference = imread(next((usual_run.parent / "raw").glob(f"*/labelsTs/{name}.png")))
    found = imread(usual_run / "predictions" / f"{name}.png")
    too_many, too_few = (found > 0) & (reference == 0), (found == 0) & (reference > 0)
    wrong = (found > 0) & (reference > 0) & (found != reference)
    alt = case.all("img")[3].attributes["alt"]
    for kind, mask in (("false positive", too_many), ("false negative", too_few), ("wrong class", wrong)):
        assert mask.any() == (kind in alt)
        assert not mask.any() or f"{kind} {mask.mean():.1%}" in alt


def test_the_card_the_checksum_and_the_memory_are_there(usual_page):
    card = _terms(usual_page, "card")
    for text in ("Intended use", "no medical device", "1 cases were trained on", "Limits", "Licence of the weights"):
        assert text in card
    settings = _terms(usual_page, "settings")
    for text in ("0123456789abcdef" * 4, "fedcba98" * 5, "1.25 GB"):
        assert text in settings


def test_no_folder_above_the_run_is_named(make_run):
    root = make_run(change=lambda metrics: metrics["settings"].update(pretrained="/home/somebody/weights.pth"))
    shutil.rmtree(root / "predictions")
    write_page(root)
    page = (root / "report.html").read_text()
    assert str(root.parent) not in page
    assert "somebody" not in page
    assert "raw/Dataset901_Discs" in page
    assert "run/predictions" in page


def test_a_run_of_a_former_version_has_a_page_without_its_data(make_run):
    def as_before(metrics):
        for key in ("data", "checkpoint_sha256", "commit", "peak_memory_bytes"):
            del metrics[key]

    page = _page(make_run(change=as_before))
    assert "What it was trained on" not in page.text
    assert "SHA-256" not in page.text
    assert "does not say what was trained on" in _terms(page, "card")


@pytest.mark.parametrize(("runs", "there"), [(["run"], True), (["other"], False)])
def test_the_first_system_of_a_comparison_has_a_row(make_run, runs, there):
    root = make_run()
    first = {"title": "nnU-Net", "runs": ["first"], "scores": {"dsc": {"mean": 0.625, "std": 0.125}}}
    content = {"scores_from": "held_out", "systems": [first, {"title": "this", "runs": runs, "scores": {}}]}
    (root.parent / "comparison.json").write_text(json.dumps(content))
    rows = [row for row in _page(root).all("tr") if row.attributes.get("id") == "baseline"]
    assert len(rows) == there
    if there:
        assert rows[0].all("th")[0].text == "nnU-Net, the first of the comparison"
        assert [cell.text for cell in rows[0].all("td")] == ["0.625", "0.125", *8 * "–"]


def test_a_damaged_comparison_beside_the_run_is_left_alone(make_run):
    root = make_run()
    (root.parent / "comparison.json").write_text('{"scores_from": "held_out", "systems": [1, 2]}')
    assert not [row for row in _page(root).all("tr") if row.attributes.get("id") == "baseline"]


def test_points_over_the_size_have_the_colours_of_their_classes(usual_page):
    chart = next(svg for svg in usual_page.all("svg") if "over the size" in svg.children[0].text)
    styles = " ".join(element.attributes.get("style", "") for element in chart.all())
    assert class_colour(0) in styles
    assert class_colour(1) in styles
    assert not [text for text in chart.all("text") if "$" in text.text]
