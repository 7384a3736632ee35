"""The command that repeats a run gives its settings."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex

from hypothesis import given
from hypothesis import strategies as st
from swin_umamba.commands import train
from swin_umamba.commands.setting_options import said_settings
from swin_umamba.jobs import training
from swin_umamba.paper.systems import SYSTEMS
from swin_umamba.report.commands import make_commands, training_arguments
from swin_umamba.runs.record import read_run
from swin_umamba.runs.settings import (
    AMP_CHOICES,
    INPUT_CHANNELS_CHOICES,
    OF_PRETRAINED,
    PRETRAINABLE,
    TRAINERS,
    Settings,
    default_settings,
)

SETTINGS = st.builds(
    Settings,
    dataset=st.none() | st.just("/data/Dataset1 it's"),
    model=st.sampled_from(list(TRAINERS)),
    pretrained=st.none() | st.just("/weights/a b.pth"),
    input_channels=st.sampled_from(INPUT_CHANNELS_CHOICES),
    freeze_epochs=st.integers(0, 100),
    epochs=st.integers(1, 1000),
    iterations=st.integers(1, 1000),
    batch_size=st.none() | st.integers(1, 64),
    patch_size=st.none() | st.tuples(st.integers(16, 512), st.integers(16, 512)),
    learning_rate=st.none() | st.floats(1e-9, 1),
    deep_supervision=st.none() | st.booleans(),
    fold=st.just("all") | st.integers(0, 4),
    checkpoint_epoch=st.none() | st.integers(0, 99),
    amp=st.sampled_from(AMP_CHOICES),
    seed=st.integers(0, 2**32 - 1),
    nsd_tolerance=st.floats(1e-3, 1000),
)


def _of_a_run(settings: Settings) -> Settings:
    """The same, but for what no run can have."""
    defaults = default_settings(settings.dataset, settings.model, None)
    changes = {}
    if settings.model not in PRETRAINABLE or settings.pretrained is None:
        changes.update({name: getattr(defaults, name) for name in ("pretrained", *OF_PRETRAINED)})
    if not SYSTEMS[settings.model].deep_supervision:
        changes["deep_supervision"] = None
    if settings.checkpoint_epoch is not None and settings.checkpoint_epoch >= settings.epochs:
        changes["checkpoint_epoch"] = None
    for name in ("batch_size", "patch_size"):
        if getattr(settings, name) is None:
            changes[name] = getattr(defaults, name)
    return dataclasses.replace(settings, **changes)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    train.add_arguments(parser)
    return parser.parse_args(arguments)


def _settings(args: argparse.Namespace) -> Settings:
    """What the command trains with; data set and weights need not be there."""
    return training._new_settings(said_settings(args, Settings))


@given(settings=SETTINGS.map(_of_a_run))
def test_the_training_command_gives_every_setting_back(settings):
    again = _settings(_parse(training_arguments(settings.as_json())))
    default_rate = default_settings(settings.dataset, settings.model, None).learning_rate
    assert again == dataclasses.replace(settings, learning_rate=settings.learning_rate or default_rate)


def test_a_rate_that_was_left_to_the_model_is_said(make_run):
    root = make_run(held_out=0, change=lambda metrics: metrics["settings"].update(dataset=None))
    command = next(iter(make_commands(read_run(root)).values())).replace("\\\n", "")
    assert json.loads((root / "settings.json").read_text())["learning_rate"] is None
    settings = _settings(_parse(shlex.split(command)[2:]))
    assert settings.dataset is None
    assert settings.learning_rate == json.loads((root / "metrics.json").read_text())["training"]["learning_rate"][0]


def test_a_rate_that_no_training_has_is_left_out(make_run):
    root = make_run(held_out=0, change=lambda metrics: metrics["training"].update(learning_rate=[1e30] * 4))
    command = next(iter(make_commands(read_run(root)).values()))
    assert "learning-rate" not in command


def test_commands_survive_the_shell(make_run):
    root = make_run(held_out=0, change=lambda metrics: metrics["training"].update(processes=2))
    # shlex takes the end of a continued line for a part of the next word; a shell does not.
    commands = (command.replace("\\\n", "") for command in make_commands(read_run(root)).values())
    again, resume, page = map(shlex.split, commands)
    assert again[:2] == resume[:2] == ["swin-umamba", "train"]
    args = _parse(again[2:])
    assert (args.device, args.devices, str(args.output)) == ("cpu", 2, "run-again")
    args = _parse(resume[2:])
    assert args.resume
    assert str(args.output) == "run"
    assert page == ["swin-umamba", "report", "run"]
