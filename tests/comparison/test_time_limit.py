"""A comparison whose time is up is gone on with by the same command."""

import time

import pytest
from swin_umamba.jobs import comparison_pipeline

MODELS = ("--models", "nnunet,segresnet")


def test_a_comparison_ends_in_time_and_goes_on(pretender, compare, monkeypatch, capsys):
    def slow(run, device):
        if run.name == "segresnet":
            time.sleep(600)
        return pretender(run, device)

    with monkeypatch.context() as slower:
        slower.setattr(comparison_pipeline, "run_process", slow)
        assert compare(*MODELS, "--time-limit", "0:00:15") == 75
    assert "stopped at SegResNet; the same command goes on with it" in capsys.readouterr().out
    assert pretender.trained == ["nnunet"]
    assert compare(*MODELS) == 0
    assert pretender.trained == ["nnunet", "segresnet"]


def test_what_is_no_time(compare, capsys):
    with pytest.raises(SystemExit) as ended:
        compare("--time-limit", "90")
    assert ended.value.code == 2
    assert "argument --time-limit: must be H:MM:SS or D-HH:MM:SS, got '90'" in capsys.readouterr().err
