"""benchmarks/scan_share.py measures what it says."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from swin_umamba.networks.ss2d import SS2D

from swin_umamba_ext import reference

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scan_share.py"


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from scan_share import Recorder

    return Recorder


@torch.no_grad()
def test_states_and_skip_are_told_apart(recorder):
    torch.manual_seed(0)
    layer = SS2D(16)
    layer.x_proj_weight.mul_(8)
    layer.Ds.uniform_(0.5, 1.5)
    x = torch.randn(2, 5, 7, 16)
    with recorder(torch.nn.Sequential(layer)) as both:
        assert torch.equal(layer(x), layer(x))
    inner, _ = layer.in_proj(x).chunk(2, dim=-1)
    inner = F.silu(layer.conv2d(inner.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    weights = (layer.x_proj_weight, layer.dt_projs_weight, layer.dt_projs_bias, layer.A_logs)
    states = reference.ss2d(inner, *weights, torch.zeros_like(layer.Ds))
    skip = reference.ss2d(inner, *weights, layer.Ds) - states
    assert float(states.norm() / skip.norm()) > 0.05
    assert both.shares == {"0": pytest.approx(float(states.norm() / skip.norm()), rel=1e-4)}
    # Without states and with D at one the layer is its twin.
    layer.Ds.fill_(1)
    twin = copy.deepcopy(layer)
    twin.remove_scan()
    with recorder(torch.nn.Sequential(layer), leave_out=True):
        torch.testing.assert_close(layer(x), twin(x), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_run_that_learned_nothing_is_where_it_started(tmp_path):
    run = tmp_path / "run"
    said = ["--epochs", "1", "--iterations", "1", "--batch-size", "2", "--patch-size", "32", "32", "--seed", "3"]
    train = [Path(sys.executable).with_name("swin-umamba"), "train", *said, "--learning-rate", "1e-9"]
    subprocess.run([*train, "--amp", "off", "--device", "cpu", "--output", run], check=True, capture_output=True)
    done = subprocess.run([sys.executable, SCRIPT, run], check=True, capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()[5:]]
    shares = [row for row in rows if row and row[0].endswith("self_attention")]
    assert len(shares) == 21
    assert all(row[1] == row[2] and float(row[1]) > 0 for row in shares)
    moved = {row[0]: float(row[-1]) for row in rows if row and row[0] in ("x_proj_weight", "A_logs", "Ds", "all")}
    assert moved == dict.fromkeys(("all", "x_proj_weight", "A_logs", "Ds"), 0)
