"""What documentation once named can still be imported."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("former", "now", "name"),
    [
        ("swin_umamba.cli", "swin_umamba.commands.cli", "main"),
        ("swin_umamba.data", "swin_umamba.datasets", "prepare_sample"),
        ("swin_umamba.data.raw_dataset", "swin_umamba.datasets.raw_dataset", "check_cases"),
        ("swin_umamba.evaluation.label_files", "swin_umamba.common.images.label_files", "LabelImage"),
        ("swin_umamba.models", "swin_umamba.networks.build", "build_model"),
        ("swin_umamba.page.run_page", "swin_umamba.report.run_page", "write_page"),
        ("swin_umamba.pretrained", "swin_umamba.checkpoints", "read_checkpoint"),
        ("swin_umamba.training.trainers", "swin_umamba.trainers.registry", "nnUNetTrainerSwinUMambaDScratch"),
    ],
)
def test_a_former_name_gives_the_module_that_has_it_now(former, now, name):
    with pytest.warns(DeprecationWarning, match=now):
        module = importlib.import_module(former)
    assert module is importlib.import_module(now)
    assert module.__spec__.name == now
    assert hasattr(module, name)


def test_other_names_are_still_missing():
    with pytest.raises(ModuleNotFoundError, match=r"swin_umamba\.trainers\.nothing"):
        importlib.import_module("swin_umamba.training.nothing")
