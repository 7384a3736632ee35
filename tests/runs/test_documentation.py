"""The tables of settings and protocols in the documentation are those that the code has."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from swin_umamba.commands.setting_options import add_settings
from swin_umamba.paper import data_sets
from swin_umamba.paper.protocol import find_protocol
from swin_umamba.pretraining.settings import PretrainingSettings
from swin_umamba.runs.settings import SAMPLE_SETTINGS, Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
HEAD = ["| | what | if not said |", "|---|---|---|"]


@pytest.mark.parametrize(
    ("page", "settings", "examples"),
    [("train.md", Settings, {"sample": SAMPLE_SETTINGS}), ("pretrain.md", PretrainingSettings, {})],
)
def test_the_page_has_a_row_for_each_setting(page, settings, examples):
    parser = argparse.ArgumentParser()
    add_settings(parser, settings, **examples)
    rows = []
    for name in settings.declared:
        actions = [action for action in parser._actions if action.dest == name]
        options = [option for action in actions for option in action.option_strings] or [actions[0].metavar]
        what, default = settings.describe(name, **examples)
        rows.append(f"| {', '.join(f'`{option}`' for option in options)} | {what} | {default} |")
    table = "\n".join([*HEAD, *rows])
    assert table in (DOCS / page).read_text(encoding="utf-8"), f"docs/{page} should have this table:\n{table}"


def test_the_page_has_a_row_for_each_protocol():
    page = (DOCS / "train.md").read_text(encoding="utf-8")
    definitions = [value for value in vars(data_sets).values() if isinstance(value, data_sets.DatasetDefinition)]
    for protocol in filter(None, (find_protocol(definition.name) for definition in definitions)):
        height, width = protocol.patch_size
        last = protocol.checkpoint_epoch in (None, protocol.epochs - 1)
        epoch = f"{protocol.epochs - 1}, the last" if last else protocol.checkpoint_epoch
        cells = [f"`{protocol.dataset}`", f"{height} × {width}", protocol.epochs, epoch, f"`{protocol.metric}`"]
        assert f"| {' | '.join(map(str, cells))} |" in page
