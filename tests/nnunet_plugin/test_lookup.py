"""nnU-Net finds the trainers by name."""

from __future__ import annotations

import sys
from unittest.mock import MagicMock

import pytest
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_module
from swin_umamba.commands import cli
from swin_umamba.nnunet_plugin import EXT_TRAINER
from swin_umamba.trainers.registry import TRAINER_CLASSES

PRIMUS = "dynamic_network_architectures.architectures.primus"  # what needs timm and torchvision


@pytest.fixture
def own_process(monkeypatch):
    """As in a process of nnU-Net's own: nothing has registered the trainers, no module has been searched."""
    for name in TRAINER_CLASSES:
        monkeypatch.delattr(nnunet_module, name, raising=False)
    monkeypatch.setenv("nnUNet_extTrainer", "")
    searched = nnunet_module.__package__ + "."
    former = {name: module for name, module in sys.modules.items() if name.startswith((searched, "timm", PRIMUS))}
    for name, module in former.items():
        if module is not nnunet_module:
            del sys.modules[name]
    yield
    for name in [name for name in sys.modules if name.startswith((searched, "timm", PRIMUS))]:
        del sys.modules[name]
    sys.modules.update(former)


def test_the_search_of_nnunet_finds_every_trainer(own_process, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, PRIMUS, MagicMock())
    assert cli.main(["nnunet-path", "--check"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(EXT_TRAINER)]
    assert captured.err.strip().endswith(", ".join(TRAINER_CLASSES))


@pytest.mark.slow
def test_it_finds_them_in_a_process_of_its_own(stock):
    done = stock.run("swin-umamba", "nnunet-path", "--check")
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith(", ".join(TRAINER_CLASSES))


def test_the_path_alone_goes_to_the_standard_output(capsys):
    assert cli.main(["nnunet-path"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{EXT_TRAINER}\n"
    assert captured.err == ""


def test_what_keeps_nnunet_from_the_trainers_is_said(own_process, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert cli.main(["nnunet-path", "--check"]) == 1
    error = capsys.readouterr().err
    assert "timm" in error
    assert "install the torchvision that belongs to torch" in error


def test_a_class_of_the_same_name_in_nnunet_is_an_error(own_process, monkeypatch, capsys):
    name = next(iter(TRAINER_CLASSES))
    monkeypatch.setattr(nnunet_module, name, nnunet_module.nnUNetTrainer, raising=False)
    assert cli.main(["nnunet-path", "--check"]) == 1
    assert f"another {name} first" in capsys.readouterr().err
