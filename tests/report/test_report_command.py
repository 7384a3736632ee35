"""``swin-umamba report``: the page of a run, or one line that says why there is none."""

from __future__ import annotations

import dataclasses
import json

import pytest
from swin_umamba.commands.cli import main
from swin_umamba.pretraining.settings import PretrainingSettings


def test_the_page_is_written_into_the_run(make_run, capsys):
    root = make_run(held_out=0)
    assert main(["report", str(root)]) == 0
    assert capsys.readouterr().out == f"wrote {root / 'report.html'}\n"
    assert (root / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_page_can_go_elsewhere(make_run, tmp_path):
    root = make_run(held_out=0)
    assert main(["report", str(root), "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").exists()
    assert not (root / "report.html").exists()


def _error(capsys, *arguments) -> str:
    assert main(["report", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_folders_without_a_finished_run_are_refused(make_run, tmp_path, capsys):
    assert "is not a folder" in _error(capsys, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no run" in _error(capsys, tmp_path / "empty")
    root = make_run(held_out=0)
    (root / "metrics.json").unlink()
    assert "is not finished" in _error(capsys, root)


def test_a_pretraining_is_none_of_its_runs(tmp_path, capsys):
    settings = dataclasses.asdict(PretrainingSettings(data="/images"))
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    message = (
        f"{tmp_path} holds a run of swin-umamba pretrain, and not one of swin-umamba train; give another folder, or "
        f"go on with that run by: swin-umamba pretrain /images --resume --output {tmp_path}\n"
    )
    assert message in _error(capsys, tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"settings": settings, "history": []}))
    assert message in _error(capsys, tmp_path)


def test_an_output_that_cannot_be_written_is_told(make_run, tmp_path, capsys):
    error = _error(capsys, make_run(held_out=0), "--output", tmp_path / "nowhere" / "page.html")
    assert "cannot write the page" in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metrics: metrics.pop("training"), "training is None"),
        (lambda metrics: metrics["training"].update(parameters="many"), "training.parameters is 'many'"),
        (lambda metrics: metrics["training"]["train_loss"].pop(), "the curves have [3, 4, 4, 4] epochs"),
        (
            lambda metrics: metrics["training"]["train_loss"].__setitem__(0, "low"),
            "training.train_loss[0] is 'low', not a finite number",
        ),
        (lambda metrics: metrics.update(held_out={"cases": 3}), "held_out.dsc is None, not an object"),
        (lambda metrics: metrics["held_out"]["per_case"].clear(), "held_out.per_case is empty"),
        (
            lambda metrics: metrics["held_out"]["per_case"]["disc_ts0"].pop("nsd"),
            "held_out.per_case['disc_ts0'].nsd is None",
        ),
        (
            lambda metrics: metrics["held_out"]["per_case"]["disc_ts1"]["dsc"].pop("rim"),
            "the case 'disc_ts1' has the classes ['core'], others have ['core', 'rim']",
        ),
        (
            lambda metrics: metrics["held_out"]["per_case"]["disc_ts1"]["dsc"].update(rim=None),
            "held_out.per_case['disc_ts1'].dsc['rim'] is None",
        ),
        (lambda metrics: metrics["held_out"].pop("cases"), "held_out.cases is None"),
        (lambda metrics: metrics["held_out"].pop("nsd"), "held_out.nsd is None"),
        (lambda metrics: metrics["held_out"]["dsc"]["per_class"].pop("rim"), "held_out.dsc has no per_class"),
        (lambda metrics: metrics["held_out"]["dsc"].update(std="0"), "held_out.dsc.std is '0', not a finite number"),
        (
            lambda metrics: metrics["held_out"]["dsc"]["per_class"].update(rim=0.5),
            "per_class['rim'] is 0.5, not an object",
        ),
    ],
)
def test_damaged_metrics_are_told(make_run, capsys, change, message):
    assert message in _error(capsys, make_run(change=change))


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"dataset": 3}), "[" * 100_000, "1" * 5000])
def test_metrics_that_are_none_are_told(make_run, capsys, content):
    root = make_run(held_out=0)
    (root / "metrics.json").write_text(content)
    assert "metrics.json is damaged: " in _error(capsys, root)
