"""A checkpoint whose plans were edited is predicted with, or refused in one line."""

import copy
import random

import pytest
import torch
from swin_umamba.common.errors import UserError
from swin_umamba.prediction import load_predictor, read_model

CPU = torch.device("cpu")
WEIGHTS = [{"a": torch.zeros(())}, {1: torch.zeros(())}]
VALUES = [None, -1, 0.5, "x" * 1000, "\n", [], {}, [None], {"a": 1, 2: 3}, float("nan"), 2**70, True]


def containers(value):
    """All dicts and lists in a value that hold something."""
    if isinstance(value, dict | list) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


def edit(value, generator):
    container = generator.choice(list(containers(value)))
    key = generator.choice(list(container)) if isinstance(container, dict) else generator.randrange(len(container))
    if generator.random() < 0.3:
        del container[key]
    else:
        container[key] = copy.deepcopy(generator.choice(VALUES))


def assert_used_or_refused(path):
    message = ""
    try:
        load_predictor(read_model(path), CPU)
    except UserError as error:
        message = str(error)
    assert len(message) <= 300
    assert "\n" not in message
    assert path.name in message or not message


@pytest.mark.parametrize("seed", range(60))
def test_one_edited_value(make_checkpoint, seed):
    checkpoint = torch.load(make_checkpoint(), weights_only=True)
    edit(checkpoint["init_args"], random.Random(seed))
    assert_used_or_refused(make_checkpoint(init_args=checkpoint["init_args"]))


@pytest.mark.parametrize("key", ["network_weights", "trainer_name", "inference_allowed_mirroring_axes", "amp"])
@pytest.mark.parametrize("value", [*VALUES, *WEIGHTS, "nnUNetTrainer", "np"], ids=lambda v: str(v)[:20])
def test_another_entry(make_checkpoint, key, value):
    assert_used_or_refused(make_checkpoint(**{key: value}))


def test_lists_of_one_another_end(make_checkpoint):
    """Few bytes; written out, 2^60 values."""
    checkpoint = torch.load(make_checkpoint(), weights_only=True)
    tower = []
    for _ in range(24):
        tower = [tower, tower]
    checkpoint["init_args"]["plans"]["tower"] = tower
    with pytest.raises(UserError, match="more than 500000 values"):
        read_model(make_checkpoint(init_args=checkpoint["init_args"]))


@pytest.mark.parametrize("name", ["network_class_name", "conv_op"])
def test_plans_do_not_run_code(make_checkpoint, tmp_path, name):
    """nnU-Net imports and calls what they name as network."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "hubconf.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    checkpoint = torch.load(make_checkpoint(), weights_only=True)
    kwargs = {"repo_or_dir": str(tmp_path / "hub"), "model": "x", "source": "local", "conv_op": "this"}
    architecture = {"network_class_name": "PlainConvUNet", "arch_kwargs": kwargs, "_kw_requires_import": ["conv_op"]}
    (kwargs if name == "conv_op" else architecture)[name] = "torch.hub.load"
    checkpoint["init_args"]["plans"]["configurations"]["2d"]["architecture"] = architecture
    path = make_checkpoint(trainer_name="nnUNetTrainer", init_args=checkpoint["init_args"])
    with pytest.raises(UserError, match=r"ValueError: torch\.hub\.load is no"):
        load_predictor(read_model(path), CPU)
    assert not (tmp_path / "hub" / "ran").exists()
