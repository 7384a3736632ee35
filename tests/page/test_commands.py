"""The command that repeats a run gives its settings."""

from __future__ import annotations

import argparse
import dataclasses
import shlex

from hypothesis import given
from hypothesis import strategies as st
from swin_umamba import train
from swin_umamba.page.commands import make_commands, training_arguments
from swin_umamba.page.run_record import read_run
from swin_umamba.training.settings import AMP_CHOICES, INPUT_CHANNELS_CHOICES, TRAINERS, Settings

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


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    train.add_arguments(parser)
    return parser.parse_args(arguments)


@given(settings=SETTINGS)
def test_the_training_command_gives_every_setting_back(settings):
    args = _parse(training_arguments(settings.as_json()))
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(Settings)}
    given["patch_size"] = None if args.patch_size is None else tuple(args.patch_size)
    assert Settings(**given) == settings


def test_commands_survive_the_shell(make_run):
    root = make_run(held_out=0, change=lambda metrics: metrics["training"].update(processes=2))
    # shlex takes the end of a continued line for a part of the next word; a shell does not.
    commands = (command.replace("\\\n", "") for command in make_commands(read_run(root)).values())
    again, resume, page = map(shlex.split, commands)
    assert again[:2] == resume[:2] == ["swin-umamba", "train"]
    args = _parse(again[2:])
    assert (args.device, args.devices, str(args.output)) == ("cpu", 2, f"{root}-again")
    args = _parse(resume[2:])
    assert args.resume
    assert str(args.output) == str(root)
    assert page == ["swin-umamba", "report", str(root)]
