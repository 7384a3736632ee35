"""The record of a run: files of all versions are read, and written as they were; edited ones are told."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swin_umamba.common.errors import UserError
from swin_umamba.common.typed_json import as_json
from swin_umamba.report.run_page import render_page
from swin_umamba.runs.folder import RunFolder
from swin_umamba.runs.record import read_run, write_record

SAMPLE = Path(__file__).parents[2] / "docs" / "results" / "sample" / "metrics.json"


def _statistics(mean: float | None) -> dict:
    return {"mean": mean, "std": mean, "n": 3}


def _evaluation(**changes: object) -> dict:
    whole = {**_statistics(0.75), "per_class": {"rim": _statistics(0.5), "core": _statistics(None)}}
    settings = {"as_published": False, "tolerance_mm": {"rim": 5.0}, "versions": {"numpy": "2.4.6"}}
    rest = {"settings": settings, "not_scored_without_reference": ["a"]}
    return {"metric": "abdomen", "n_cases": 3, "dsc": whole, "nsd": whole, **rest, **changes}


def _usual() -> dict:
    """A record with everything that one can have, and few cases and epochs."""
    metrics = json.loads(SAMPLE.read_text(encoding="utf-8"))
    cases = metrics["held_out"]["per_case"]
    metrics["held_out"]["per_case"] = {case: cases[case] for case in list(cases)[:2]}
    for name in ("train_loss", "validation_loss", "validation_dice", "learning_rate"):
        del metrics["training"][name][2:]
    metrics["training"]["pretrained"] = {
        "path": "/weights/vssmtiny.pth",
        "architecture": "VMamba-Tiny",
        "network": "SwinUMambaD",
        "loaded": ["encoder.a"],
        "adapted": {"encoder.b": "summed"},
        "skipped": {"head.weight": "no place for it"},
        "missing": ["decoder.c"],
        "encoder_coverage": 0.99,
    }
    metrics["evaluation_as_published"] = _evaluation(counts={"true positives": 3})
    metrics["evaluation"] = _evaluation()
    metrics["not_evaluated"] = {"evaluation": "no reason"}
    return metrics


def _write(root: Path, metrics: object) -> Path:
    (root / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return root


def test_the_record_in_the_documentation_is_written_as_it_was_read(tmp_path):
    (tmp_path / "metrics.json").write_bytes(SAMPLE.read_bytes())
    write_record(RunFolder(tmp_path), read_run(tmp_path).record)
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads(SAMPLE.read_text())


def test_everything_is_written_as_it_was_read(tmp_path):
    assert as_json(read_run(_write(tmp_path, _usual())).record) == _usual()


def test_the_record_of_the_first_version_is_read(tmp_path):
    metrics = _usual()
    for name in (
        "held_out_from",
        "finished",
        "device_type",
        "precision",
        "evaluation",
        "evaluation_as_published",
        "not_evaluated",
    ):
        del metrics[name]
    for name in ("processes", "pretrained"):
        del metrics["training"][name]
    for name in ("pretrained", "input_channels", "freeze_epochs", "deep_supervision", "checkpoint_epoch", "amp"):
        del metrics["settings"][name]
    for metric in ("dsc", "nsd"):
        for part in (metrics["held_out"][metric], *metrics["held_out"][metric]["per_class"].values()):
            for name in ("median", "min", "max"):
                del part[name]
    for case in metrics["held_out"]["per_case"].values():
        del case["absent"]
    run = read_run(_write(tmp_path, metrics))
    assert run.record.training.processes == 1
    assert run.record.settings.amp == "auto"
    assert (run.record.held_out.dsc.median, run.record.evaluations) == (None, {})
    assert "on Dataset152_MNITissue" in render_page(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"threads": NaN', "threads is nan, not a whole number"),
        ('"threads": true', "threads is True, not a whole number"),
        ('"threads": 1e3', "threads is 1000.0, not a whole number"),
        ('"training": 3', "training is 3, not an object"),
        ('"device": "\\ud800"', "device is '\\ud800', not printable text"),
        ('"versions": {"a": 1}', "versions['a'] is 1, not printable text"),
        ('"settings": {"fold": 0.5}', "settings.fold is 0.5, not a whole number of at most 9007199254740992 or print"),
        ('"settings": {"patch_size": [1]}', "settings.patch_size is [1], not an array of 2"),
        ('"seconds": {"total": 1, "training": 1e39}', "seconds.training is 1e+39, not a finite number of at most"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    metrics = _usual()
    del metrics[text.split('"')[1]]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics)[:-1] + f", {text}}}")
    with pytest.raises(UserError) as error:
        read_run(tmp_path)
    assert f"metrics.json is damaged: {message}" in str(error.value)
    assert str(error.value).endswith(f"; write it anew with: swin-umamba train --resume --output {tmp_path}")


@pytest.mark.parametrize("path", ["~nobody/of/this/name", "x" * 5000, "", "<a>\n\t"])
def test_text_that_is_no_path_costs_the_pictures_alone(tmp_path, path):
    metrics = _usual()
    metrics["settings"]["dataset"] = path
    assert "The pictures could not be drawn" in render_page(read_run(_write(tmp_path, metrics)))


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from([10**400, -(10**30), 1e300, 1e38])
    | st.text(),
    lambda junk: st.lists(junk, max_size=3) | st.dictionaries(st.text(), junk, max_size=3),
    max_leaves=5,
)
ACTIONS = st.tuples(st.integers(0, 2**16), st.sampled_from(["delete", "junk", "add", "swap"]), JUNK)


def _places(value: object) -> list[tuple[object, object]]:
    """Every container in a document with each of its keys."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(value, key), *_places(value[key])]]


def _edit(metrics: dict, number: int, action: str, junk: object) -> None:
    places = _places(metrics)
    if not places:
        return
    container, key = places[number % len(places)]
    other, its_key = places[(number // 7) % len(places)]
    if action == "delete":
        del container[key]
    elif action == "junk":
        container[key] = junk
    elif action == "swap":
        container[key] = copy.deepcopy(other[its_key])
    elif isinstance(container, dict):
        container[str(junk)] = junk
    else:
        container.append(junk)


def _page_or_error(root: Path) -> str:
    try:
        return render_page(read_run(root))
    except UserError as error:
        return str(error)


@given(actions=st.lists(ACTIONS, min_size=1, max_size=3))
def test_an_edited_record_is_read_or_told(tmp_path_factory, actions):
    metrics = _usual()
    for action in actions:
        _edit(metrics, *action)
    root = _write(tmp_path_factory.mktemp("edited"), metrics)
    page = _page_or_error(root)
    is_error = page.startswith(f"{root / 'metrics.json'} is damaged: ") and len(page.splitlines()) == 1
    assert is_error or page.startswith("<!DOCTYPE html>")
    assert page.encode()
